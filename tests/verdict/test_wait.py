from __future__ import annotations

from qstress.model import WaitLoop
from qstress.verdict.wait import ApWait


def test_a_wait_by_its_code_says_what_it_has() -> None:
    wait = ApWait.of(WaitLoop(4, 3, 0xEE2E1))
    assert wait == ApWait(4, 3)
    assert (wait.missing, wait.over) == (1, False)
    assert wait.sentence.endswith("it expects 4 CPUs and has 3")
    assert ApWait.of(None) is None


def test_what_was_not_read_is_not_known_to_be_over() -> None:
    assert (ApWait(4).missing, ApWait(4).over) == (0, False)
    assert ApWait(4).sentence.endswith("it expects 4 CPUs")
    assert (ApWait(4, 5).missing, ApWait(4, 5).over) == (0, True)


def test_a_count_in_ebx_is_no_more_than_that() -> None:
    assert "4, in EBX" in ApWait(4, by_code=False).sentence
