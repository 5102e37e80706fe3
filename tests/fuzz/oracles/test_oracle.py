"""What an oracle is until it says otherwise."""

from __future__ import annotations

import subprocess

from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle, printf_b
from qstress.fuzz.protocol import LOST, Answered, Digest, Fate, Reader
from tests.fuzz.oracles.samples import send
from tests.fuzz.samples import schema
from tests.fuzz.test_recording import SAMPLE


def test_qemu_was_at_the_first_command_without_an_answer_or_at_the_last() -> None:
    def at(*answers: Answered) -> str:
        return Observed(Exchange("qmp", ()), ExchangeOutcome(0.0, ()), answers, Reader(schema()), 0).unanswered

    answered = [Answered(send(name), Digest(Fate.RETURNED)) for name in ("stop", "cont")]
    assert at(*answered) == "cont"
    assert at(*answered, Answered(send("qom-set"), LOST), Answered(send("quit"), LOST)) == "qom-set"
    assert at() == "corrupt bytes"
    assert at(Answered(Send(To.QMP, b"\xff", Await.REPLY), LOST)) == "corrupt bytes"


def test_a_new_oracle_needs_nothing_but_a_kind_and_what_it_judges() -> None:
    class Minimal(Oracle):
        kind = "minimal"

        def judge(self, seen: Observed) -> list[Fault]:
            return []

    oracle = Minimal()
    assert (oracle.blame, oracle.must_repeat, oracle.comes_late, oracle.coda) == (0, False, False, ())
    assert oracle.signature("x at y") == "x at y"
    assert not oracle.blames_among_others("a", "a")
    assert oracle.before_reduction(SAMPLE) is SAMPLE
    assert oracle.placebo(SAMPLE) is None
    assert oracle.shell_refusal == "What shows it takes more than a shell to see."
    assert list(oracle.shell_verdict(SAMPLE)) == []
    assert not any(map(oracle.shell_replaces, SAMPLE.steps))


def test_bytes_of_all_kinds_are_printed_as_they_are() -> None:
    data = bytes(range(256)) + b"'\"$`%s\\\n"
    assert subprocess.run(["sh", "-c", f"printf '%b' {printf_b(data)}"], stdout=-1, check=True).stdout == data


def test_plain_text_stays_readable() -> None:
    assert printf_b(b'{"execute": "stop"}\n') == """'{"execute": "stop"}\\n'"""
