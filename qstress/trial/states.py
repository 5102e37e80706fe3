"""The states of a watch and what leads from one to another: one table (pure; drawn in docs/watch-states.md).

Only a :class:`~qstress.trial.events.Tick` judges. What comes between two of them is taken note of, and asks for a tick
where it is news; while the driver is out for an answer there is none. So a state is what the watch waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from qstress.trial import events
from qstress.trial.events import WatchAction, WatchEvent


class WatchState(Enum):
    """What a watch waits for."""

    READY = "ready"  # the guest to be told to run
    WATCHING = "watching"  # news, or the time at which silence says something
    PLUGGING = "plugging"  # the fault to be injected
    ASKING = "asking"  # the boot CPU's registers
    LOOKING = "looking"  # a closer look, while nothing hammers
    STALLED = "stalled"  # a look at a QEMU whose monitor is silent
    DECIDED = "decided"  # nothing but the window log: there is a verdict


class Why(Enum):
    """What tells two ways out of one state apart."""

    ALWAYS = ""
    GO_ON = "nothing is wrong"
    AP_IS_DUE = "all that were woken have checked in"
    SILENT = "silent, and not asked yet"
    NO_PROGRESS = "no progress"
    SILENT_MONITOR = "silent monitor"
    JUDGED = "the facts suffice"
    CLEARED = "not believed"
    BELIEVED = "believed"
    ENDED = "QEMU has ended"
    NO_ANSWER = "no answer"


_S = WatchState
#: Which state follows, by the state before, the event, and why. What is not here cannot happen.
TRANSITIONS: Mapping[tuple[WatchState, type[WatchEvent], Why], WatchState] = {
    (_S.READY, events.Started, Why.ALWAYS): _S.WATCHING,
    (_S.WATCHING, events.Tick, Why.GO_ON): _S.WATCHING,
    (_S.WATCHING, events.Tick, Why.AP_IS_DUE): _S.PLUGGING,
    (_S.WATCHING, events.Tick, Why.SILENT): _S.ASKING,
    (_S.WATCHING, events.Tick, Why.NO_PROGRESS): _S.LOOKING,
    (_S.WATCHING, events.Tick, Why.SILENT_MONITOR): _S.STALLED,
    (_S.WATCHING, events.Tick, Why.JUDGED): _S.DECIDED,
    (_S.WATCHING, events.Enough, Why.ALWAYS): _S.DECIDED,
    (_S.PLUGGING, events.PlugTried, Why.ALWAYS): _S.WATCHING,
    (_S.PLUGGING, events.RigFailed, Why.ALWAYS): _S.DECIDED,
    (_S.ASKING, events.BootCpuSeen, Why.ALWAYS): _S.WATCHING,
    (_S.LOOKING, events.Looked, Why.CLEARED): _S.WATCHING,
    (_S.LOOKING, events.Looked, Why.BELIEVED): _S.DECIDED,
    (_S.LOOKING, events.LookFailed, Why.ENDED): _S.WATCHING,
    (_S.LOOKING, events.LookFailed, Why.NO_ANSWER): _S.STALLED,
    (_S.STALLED, events.StallSeen, Why.CLEARED): _S.WATCHING,
    (_S.STALLED, events.StallSeen, Why.BELIEVED): _S.DECIDED,
    (_S.DECIDED, events.WindowLogRead, Why.ALWAYS): _S.DECIDED,
}
#: Events that any state takes note of and that change none.
NOTED: tuple[type[WatchEvent], ...] = (
    events.Output, events.Dumped, events.QemuExited, events.GuestReset, events.GuestPanicked, events.HammersRested,
)  # fmt: skip
#: What is asked for on entering a state; its answer is what leads out of it.
ASKED_FOR: Mapping[WatchState, WatchAction] = {
    _S.PLUGGING: events.PlugLostAp(),
    _S.ASKING: events.AskBootCpu(),
    _S.LOOKING: events.LookCloser(),
    _S.STALLED: events.LookAtStall(),
}
