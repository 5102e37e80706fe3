from __future__ import annotations

from qstress.verdict.wait import ApWait
from qstress.verdict.wording import states, threads, waits
from tests.samples import at_reset, running, seen
from tests.verdict.examinations import thread


def test_states_are_counted() -> None:
    assert states(seen(running(0), at_reset(1), at_reset(2))) == "3 vCPUs: 2 reset-vector, 1 running"


def test_the_wait_says_how_many_and_that_the_sipi_was_sent_where_that_is_known() -> None:
    assert waits(ApWait(4, 3), "").endswith("waits for 4 vCPUs and has 3")
    assert waits(ApWait(4, 3), "000c4610").endswith("has 3; its APIC sent a SIPI last (ICR 000c4610)")


def test_threads_with_their_share_and_their_wait() -> None:
    used = (thread(0, 0.987, "R", "0"), thread(1, 0.0, "S", "kvm_vcpu_block"))
    assert threads(used, "between the dumps") == (
        "CPU time in the 0.100 s between the dumps: CPU#0 99 %, CPU#1 0 % (kvm_vcpu_block)"
    )
    assert threads((), "between").endswith("0.000 s between: ")
    assert threads([thread(i, 0) for i in range(9)], "x").endswith(", …")
