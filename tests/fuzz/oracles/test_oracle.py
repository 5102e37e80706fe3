"""What an oracle is until it says otherwise."""

from __future__ import annotations

from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.oracle import Oracle, unanswered_label
from qstress.fuzz.protocol import LOST, Answered, Digest, Fate
from tests.fuzz.oracles.samples import send
from tests.fuzz.test_recording import SAMPLE


def test_qemu_was_at_the_first_command_without_an_answer_or_at_the_last() -> None:
    answered = [Answered(send(name), Digest(Fate.RETURNED)) for name in ("stop", "cont")]
    assert unanswered_label(answered) == "cont"
    assert unanswered_label([*answered, Answered(send("qom-set"), LOST), Answered(send("quit"), LOST)]) == "qom-set"
    assert unanswered_label([]) == "corrupt bytes"
    assert unanswered_label([Answered(Send(To.QMP, b"\xff", Await.REPLY), LOST)]) == "corrupt bytes"


def test_a_new_oracle_needs_nothing_but_a_kind_and_what_it_judges() -> None:
    assert (Oracle.blame, Oracle.must_repeat, Oracle.comes_late, Oracle.coda) == (0, False, False, ())
    assert Oracle.signature("x at y") == "x at y"
    assert not Oracle.blames_among_others("a", "a")
    assert Oracle.before_reduction(SAMPLE) is SAMPLE
    assert Oracle.placebo(SAMPLE) is None
    assert Oracle.shell_refusal == "What shows it takes more than a shell to see."
    assert list(Oracle.shell_verdict(SAMPLE)) == []
    assert not any(map(Oracle.shell_replaces, SAMPLE.steps))
