"""A watch played by hand: events in, actions out.

``playbook << event`` tells the watch, ``>> action`` says what it must ask for next; what it asks for and nobody says
fails at the next event, except when to wake it, which need not be said. ``after`` lets time pass.
"""

from __future__ import annotations

from collections import deque
from typing import Self

from qstress.firmware.seabios import BootLog
from qstress.firmware.streams import BootReader
from qstress.model import Milestone, Verdict
from qstress.trial.events import Decide, Output, Started, WakeAt, WatchAction, WatchEvent
from qstress.trial.watch import Watch, WatchSettings
from qstress.verdict.limits import Limits

#: Deadlines that are easy to reckon with, in seconds.
LIMITS = Limits(quiet_s=1.0, settle_s=0.1, gap_s=0.1, watch_s=1.0, reply_s=8.0, boot_s=30.0, ask_s=0.5)
#: One hammer, for the whole of the boot; four vCPUs.
SETTINGS = WatchSettings(4, LIMITS, hammers=((Milestone.START, Milestone.BOOT),), load="2 threads on 2 CPUs")

BANNER = Output(b"SeaBIOS (version 1.16.2-debian)\n")
PCI = Output(b"PCI: No VGA devices found\n")
CHECKIN = Output(b"handle_smp: apic_id=0x1\n")
FOUND = Output(b"Found 4 cpu(s) max supported 4 cpu(s)\n")


class Playbook:
    """Plays one watch from *at_s* on."""

    def __init__(self, settings: WatchSettings = SETTINGS, log: BootReader | None = None, *, at_s: float = 100.0):
        self.watch = Watch(settings, BootLog() if log is None else log)
        self.now_s = at_s
        self._asked: deque[WatchAction] = deque()

    def after(self, seconds: float) -> Self:
        """Let time pass."""
        self.now_s += seconds
        return self

    def __lshift__(self, event: WatchEvent) -> Self:
        self.is_at_rest()
        self._asked.extend(self.watch.step(event, self.now_s))
        return self

    def __rshift__(self, action: WatchAction | type[WatchAction]) -> Self:
        while self._asked and isinstance(self._asked[0], WakeAt) and not _is(action, WakeAt):
            self._asked.popleft()
        assert self._asked, f"nothing is asked for, and not {action}"
        asked = self._asked.popleft()
        assert asked == action or type(asked) is action, f"{asked} is asked for, and not {action}"
        return self

    def is_at_rest(self) -> None:
        """Fail where something was asked for that nobody expects."""
        unexpected = [action for action in self._asked if not isinstance(action, WakeAt)]
        assert unexpected == []
        self._asked.clear()

    def wakes_in(self) -> float:
        """Return in how many seconds from now it wants to be woken; fails where that was not asked for."""
        times = [action.at_s for action in self._asked if isinstance(action, WakeAt)]
        assert times, "it does not want to be woken"
        return round(times[-1] - self.now_s, 6)

    @property
    def verdict(self) -> Verdict:
        """What it came to; the last thing asked for must say so."""
        while self._asked and not isinstance(self._asked[0], Decide):
            self._asked.popleft()
        assert isinstance(self._asked[0], Decide), "there is no verdict"
        assert self._asked[0].verdict is self.watch.verdict
        decided = self._asked.popleft()
        self.is_at_rest()
        assert isinstance(decided, Decide)
        return decided.verdict

    @property
    def goes_on(self) -> bool:
        """Whether it has no verdict yet."""
        return self.watch.verdict is None


def _is(action: WatchAction | type[WatchAction], kind: type[WatchAction]) -> bool:
    return action is kind or isinstance(action, kind)


def started(settings: WatchSettings = SETTINGS, log: BootReader | None = None) -> Playbook:
    """A playbook whose guest has just been told to run."""
    playbook = Playbook(settings, log)
    playbook << Started(playbook.now_s)
    playbook._asked.clear()
    return playbook
