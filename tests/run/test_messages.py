from __future__ import annotations

import os
import pickle

import pytest

from qstress.guest.process import Process
from qstress.model import Evidence, FindingClass, Outcome, StormCount, Verdict
from qstress.run.messages import Began, Ended, Finished, Inbox, Kicked, Message, Over, Run, Taken, encoded
from qstress.trial.context import FinishedTrial, TrialContext
from tests.samples import result, trial

LOST = Verdict(Outcome.HANG, "lost INIT: CPU#1", FindingClass.LOST_INIT, "lost-init/x")
FINISHED = FinishedTrial(result(trial(3)), Evidence(console=b"\0x", notes={"limits": {"a": 1.5}}))
MESSAGES: list[Message] = [
    Run(1, (trial(1), trial(2)), TrialContext(known=frozenset({FindingClass.LOST_INIT, None})), 1.5),
    Taken(1, True),
    Began(1, trial(1), 77),
    Ended(1, trial(1)),
    Kicked(1, 0, StormCount(1.0, 2)),
    Finished(1, (FINISHED,), True),
    Over(1, "why"),
]


def test_a_stream_cut_anywhere_gives_the_same_messages() -> None:
    stream = b"".join(map(encoded, MESSAGES))
    for size in (1, 7, len(stream)):
        inbox = Inbox()
        got = [each for at in range(0, len(stream), size) for each in inbox.feed(stream[at : at + size])]
        assert got == MESSAGES


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def test_only_what_is_ours_is_taken() -> None:
    body = pickle.dumps(Evil())
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.system is not passed between hosts"):
        list(Inbox().feed(len(body).to_bytes(4, "big") + body))


class Starts:
    def __reduce__(self) -> tuple[object, ...]:
        return Process, (("true",),)


def test_a_class_of_ours_that_does_something_when_it_is_made_is_not_taken() -> None:
    body = pickle.dumps(Starts())
    with pytest.raises(pickle.UnpicklingError, match=r"guest\.process\.Process is not passed between hosts"):
        list(Inbox().feed(len(body).to_bytes(4, "big") + body))
