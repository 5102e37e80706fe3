from __future__ import annotations

import os
import pickle
import random
from dataclasses import dataclass

import pytest

from qstress.guest.process import Process
from qstress.model import Evidence, FindingClass, Outcome, StormCount, Trial, Verdict
from qstress.run.messages import Began, Ended, Finished, Inbox, Kicked, Mailbox, Message, Over, Run, Taken, encoded
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


@dataclass
class Attribute:
    """Pickled as a member of an enumeration is by Python 3.11.2."""

    of: object
    name: str

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (self.of, self.name)


def sent(attribute: Attribute) -> list[object]:
    body = pickle.dumps(attribute)
    return list(Inbox().feed(len(body).to_bytes(4, "big") + body))


def test_a_member_is_taken_as_every_python_pickles_it_and_no_other_attribute() -> None:
    assert sent(Attribute(Outcome, "HANG")) == [Outcome.HANG]
    for of in (Verdict(Outcome.OK, ""), Trial, "text", Outcome):
        with pytest.raises(pickle.UnpicklingError, match=r"an attribute of .* is not passed between hosts"):
            sent(Attribute(of, "__class__"))


class Starts:
    def __reduce__(self) -> tuple[object, ...]:
        return Process, (("true",),)


def test_a_class_of_ours_that_does_something_when_it_is_made_is_not_taken() -> None:
    body = pickle.dumps(Starts())
    with pytest.raises(pickle.UnpicklingError, match=r"guest\.process\.Process is not passed between hosts"):
        list(Inbox().feed(len(body).to_bytes(4, "big") + body))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_put_in_a_mailbox_arrives_once_and_in_order_over_a_way_that_loses_and_repeats(seed: int) -> None:
    draw, here, there = random.Random(seed), Mailbox(), Mailbox()
    sent: list[Message] = [Over(n) for n in range(100)]
    got: list[Message] = []
    packets: list[bytes] = []
    todo = list(sent)
    while len(got) < len(sent):
        for _ in range(min(len(todo), draw.randrange(4))):
            here.put(todo.pop(0))
        packets.append(here.packet())
        if draw.random() < 0.5:  # arrives, or one from before does, once more
            got += there.take(draw.choice(packets[-3:]))
        if draw.random() < 0.5:
            assert here.take(there.packet()) == []
    assert got == sent


def test_a_mailbox_knows_what_no_packet_has_held() -> None:
    mail, other = Mailbox(), Mailbox()
    mail.put(Over(1))
    assert mail.unsent == 1
    packet = mail.packet()
    assert mail.unsent == 0
    assert other.take(packet) == [Over(1)]
    mail.take(other.packet())
    assert Mailbox().take(mail.packet()) == []
