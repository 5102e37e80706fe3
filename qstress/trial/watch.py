"""The bring-up as a function of events: what to do next, and the verdict (pure: no clock, no I/O, no await).

A :class:`Watch` is told what happened and when, and answers with what is to be done; :mod:`qstress.trial.states` holds
its one table of states. It knows nothing of a process or a monitor, so a journal of its events can be judged again
anywhere, and a test needs no guest. When to doubt, what a look means and how long to be patient is decided by
:mod:`qstress.verdict`; the watch asks.

On suspicion it stops hammering first and lets go of all APs, has the driver look, then confirms. A series, thousands
of bring-ups a second of a guest that resets itself, is one watch fed on: healthy bring-ups are counted, the first other
one is its verdict.

What the hammers' replies show reaches the watch only where there is no console (``events.Dumped``). Elsewhere they are
evidence. Fed to the judge as well they changed none of 18 lost INITs under the hammer, and in a series they would have
made 15 of 26 an AP that was lost later, by what earlier bring-ups of that QEMU had shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from qstress.firmware.base import SeriesReader
from qstress.firmware.dumps_only import DumpsOnlyBoot
from qstress.firmware.streams import BootReader
from qstress.interposer.causes import add_causes
from qstress.interposer.windows import bringup_began_ns, since
from qstress.model import Confidence, Milestone, Outcome, Verdict
from qstress.trial import events
from qstress.trial.events import WatchAction, WatchEvent
from qstress.trial.states import ASKED_FOR, NOTED, TRANSITIONS, WatchState, Why
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import Doubt, Situation, assess, next_look_s, stalled
from qstress.verdict.limits import Limits, patience_s

#: The verdict on a series that ended without a bring-up worth one of its own.
SERIES_OVER = Verdict(Outcome.OK, "the series is over")
_STOPPED = ("T", "t")
_LONG_AGO = float("-inf")
Actions = tuple[WatchAction, ...]


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What a watch has to know of its trial.

    ``hammers`` holds from which milestone and until which each one sends, ``load`` how busy the host is, in words.
    ``understood``: the milestones of this firmware are known. ``goes_on``: a guest that restarted is watched further,
    to see what it comes to. ``plugs_lost_ap``: the injected fault is ours to make, once ``plug_checkins`` APs have
    checked in (None: all but one). ``in_series``: the guest makes bring-up after
    bring-up by itself, of which ``most`` are wanted.
    """

    smp: int
    limits: Limits
    hammers: tuple[tuple[Milestone, Milestone], ...] = ()
    load: str = ""
    understood: bool = True
    goes_on: bool = True
    plugs_lost_ap: bool = False
    plug_checkins: int | None = None
    in_series: bool = False
    most: int = 1


@dataclass(slots=True)
class Times:
    """When what was seen, in monotonic seconds: the bring-up began, the guest was heard last, it last made progress
    (heard, and not saying itself that it is stuck), each milestone, the verdict; and the longest silence in between."""

    began_s: float = 0.0
    heard_s: float = 0.0
    progressed_s: float = 0.0
    decided_s: float | None = None
    longest_silence_s: float = 0.0
    reached_s: dict[Milestone, float] = field(default_factory=dict)


@dataclass(slots=True)
class QemuFacts:
    """What is known of the process: how it ended, resets that nobody asked for, whether the guest panicked."""

    exited: events.QemuExited | None = None
    resets: int = 0
    panicked: bool = False


@dataclass(slots=True)
class LastLooks:
    """When the boot CPU was asked last, and whether it waited; when the last closer look was asked for and had its
    hammers at rest; when one ended that was not believed, and what it said."""

    asked_s: float = _LONG_AGO
    waits: bool = False
    doubted_s: float = _LONG_AGO
    rested_s: float = _LONG_AGO
    ended_s: float | None = None
    said: str = ""


class Watch:
    """One bring-up, or a series of them, from its start to its verdict. Its attributes may be read at any time.

    :param log: reads the console; the watch feeds it from now on.
    """

    def __init__(self, settings: WatchSettings, log: BootReader) -> None:
        self.settings = settings
        self.log = log
        self.state = WatchState.READY
        self.verdict: Verdict | None = None
        self.rig_reason = ""
        self.times = Times()
        self.qemu = QemuFacts()
        self.looks = LastLooks()
        self._series = cast(SeriesReader, log) if settings.in_series else None
        self._left = settings.most  # bring-ups of a series that are still wanted
        self._plugged: bool | None = None if settings.plugs_lost_ap else True  # False: tried, and too early
        self._news = False  # that came while it waited for an answer, or for the tick that follows
        self._told = Milestone.START  # what the churn knows
        self._active: set[int] = set()  # hammers

    def step(self, event: WatchEvent, now_s: float) -> Actions:
        """Take in *event*, which happened at *now_s* (monotonic seconds, never less than before); return what to do, in
        this order.

        :raises ValueError: the event cannot come in this state (see ``states.TRANSITIONS``).
        """
        if isinstance(event, NOTED):
            return self._noted(event, now_s)
        if (self.state, type(event)) not in _AWAITED:
            raise ValueError(f"{type(event).__name__} cannot come while {self.state.value}")
        why, *actions = _HANDLERS[type(event)](self, event, now_s)
        before, self.state = self.state, TRANSITIONS[self.state, type(event), why]
        if self.state is not before and self.state in ASKED_FOR:
            if self.state in (WatchState.LOOKING, WatchState.STALLED):
                actions += self._calm()
            actions.append(ASKED_FOR[self.state])
        return tuple(actions)

    @property
    def zero_ns(self) -> int:
        """When the bring-up began, on the window log's clock."""
        return round(self.times.began_s * 1e9)

    # ---- what is taken note of in any state

    def _noted(self, event: WatchEvent, now_s: float) -> Actions:
        if self.state is WatchState.DECIDED:
            if isinstance(event, events.Output):
                self.log.feed(event.data, event.stream)  # the next series goes on with it
            return ()
        match event:
            case events.Output():
                news = self._heard(event, now_s)
            case events.Dumped(dump):
                assert isinstance(self.log, DumpsOnlyBoot)
                news = self.log.saw(dump)
                if news:
                    self._progressed(now_s)
            case events.QemuExited():
                self.qemu.exited, news = event, True
            case events.GuestReset(count):
                self.qemu.resets, news = count, True
            case events.GuestPanicked():
                self.qemu.panicked = news = True
            case _:  # events.HammersRested
                self.looks.rested_s, news = now_s, False
        if self.state is WatchState.WATCHING and self._plugged is not False:  # else a tick comes in any case
            return (events.WakeAt(now_s),) if news else ()
        self._news = self._news or news
        return ()

    def _heard(self, said: events.Output, now_s: float) -> bool:
        times = self.times
        times.longest_silence_s = max(times.longest_silence_s, now_s - times.heard_s)
        times.heard_s = now_s
        news = self.log.feed(said.data, said.stream)
        if not self.log.stuck:
            times.progressed_s = now_s
        if news:
            self._reached(now_s)
        return news

    def _progressed(self, now_s: float) -> None:
        self.times.heard_s = self.times.progressed_s = now_s
        self._reached(now_s)

    def _reached(self, now_s: float) -> None:
        for milestone in Milestone:  # one read may hold several
            if Milestone.START < milestone <= self.log.milestone:
                self.times.reached_s.setdefault(milestone, now_s)

    # ---- what leads from state to state: each says why, and what is to be done

    def _started(self, event: events.Started, now_s: float) -> Iterator[Why | WatchAction]:
        self.times.began_s = event.began_s
        self.times.heard_s = self.times.progressed_s = now_s
        yield Why.ALWAYS
        yield events.HoldAps()
        yield events.WakeAt(now_s)

    def _tick(self, event: events.Tick, now_s: float) -> Iterator[Why | WatchAction]:
        if self._may_plug():
            yield Why.AP_IS_DUE
            return
        self._plugged = self._plugged or None  # tried once between two judgements
        if self._may_ask(now_s):
            self.looks.asked_s, self.looks.waits = now_s, False
            yield Why.SILENT
            return
        counted, decision = self._judge(event.silent_since_s, now_s)
        if isinstance(decision, Verdict):
            yield Why.JUDGED
            yield from counted
            yield from self._decided(decision, now_s)
        elif decision is not None:
            self.looks.doubted_s = now_s
            yield Why.SILENT_MONITOR if decision is Doubt.SILENT_MONITOR else Why.NO_PROGRESS
            yield from counted
        else:
            yield Why.GO_ON
            yield from counted
            yield from self._steer()
            next_s = next_look_s(self._situation(event.silent_since_s, now_s), self.settings.limits)
            next_s = min(next_s, self._asks_again_s) if self._asks_again_s > now_s else next_s
            yield events.WakeAt(now_s if self._news else next_s)
            self._news = False

    def _plug_tried(self, event: events.PlugTried, now_s: float) -> Iterator[Why | WatchAction]:
        self._plugged = event.plugged
        yield Why.ALWAYS
        yield events.WakeAt(now_s)

    def _boot_cpu_seen(self, event: events.BootCpuSeen, now_s: float) -> Iterator[Why | WatchAction]:
        loop = event.loop
        self.looks.waits = loop is not None and loop.found < loop.expected
        yield Why.ALWAYS
        yield events.WakeAt(now_s)

    def _looked(self, event: events.Looked, now_s: float) -> Iterator[Why | WatchAction]:
        if self.qemu.exited is not None or self._came_before_the_look():
            yield from self._cleared(now_s)
            return
        verdict = diagnose(event.seen, self.log)
        if self._believed(verdict, now_s):
            yield Why.BELIEVED
            yield from self._decided(verdict, now_s, "cannot-run" if verdict.outcome is Outcome.RIG else "")
            return
        self.looks.ended_s, self.looks.said = now_s, verdict.title
        yield from self._cleared(now_s)

    def _look_failed(self, _event: events.LookFailed, now_s: float) -> Iterator[Why | WatchAction]:
        if self.qemu.exited is None:
            yield Why.NO_ANSWER
            return
        yield Why.ENDED
        yield events.HoldAps()
        yield events.WakeAt(now_s)

    def _stall_seen(self, event: events.StallSeen, now_s: float) -> Iterator[Why | WatchAction]:
        since_s = event.silent_since_s
        waited_s = now_s - (self.looks.doubted_s if since_s is None else since_s)
        answered = since_s is not None and waited_s < self.settings.limits.reply_s
        if self.qemu.exited is not None or (answered and event.process_state not in _STOPPED):
            yield from self._cleared(now_s)
            return
        verdict = stalled(
            event.process_state, oob_answers=event.oob_answers, waited_s=waited_s, log=self.log, threads=event.threads
        )
        yield Why.BELIEVED
        yield events.AbandonCommands()
        yield from self._decided(verdict, now_s, "starved" if verdict.outcome is Outcome.RIG else "")

    def _enough(self, _event: events.Enough, now_s: float) -> Iterator[Why | WatchAction]:
        yield Why.ALWAYS
        yield from self._decided(SERIES_OVER, now_s)

    def _rig_failed(self, event: events.RigFailed, now_s: float) -> Iterator[Why | WatchAction]:
        yield Why.ALWAYS
        yield from self._decided(Verdict(Outcome.RIG, event.message), now_s, event.reason)

    def _window_log_read(self, event: events.WindowLogRead, _now_s: float) -> Iterator[Why | WatchAction]:
        """The log is a second witness; in a series it also knows better than the console when the bring-up began."""
        assert self.verdict is not None
        log = event.log
        if self._series is not None:
            began_ns = bringup_began_ns(log, self.zero_ns)
            self.times.began_s, log = began_ns / 1e9, since(log, began_ns)
        self.verdict = add_causes(self.verdict, log, smp=self.settings.smp, zero_ns=self.zero_ns)
        yield Why.ALWAYS
        yield events.Decide(self.verdict, self.rig_reason)

    # ---- what those ask

    def _may_plug(self) -> bool:
        """Whether the fault may be due."""
        log, settings = self.log, self.settings
        ready = self._plugged is None and self.qemu.exited is None
        checkins = settings.smp - 2 if settings.plug_checkins is None else settings.plug_checkins
        return ready and log.milestone >= Milestone.PCI and log.checkins >= checkins

    def _may_ask(self, now_s: float) -> bool:
        """Whether to ask the boot CPU, once a silence or now and then, if it waits for APs that have not come. Their
        INIT has been sent then, so that a pause of the hammer takes nothing from the race, and the closer look is as
        thorough as any. One that is plugged in late needs a moment."""
        heard_s, silent_s = self.times.heard_s, self.settings.limits.ask_s
        plugged_in = self.settings.plugs_lost_ap and self.settings.plug_checkins is None
        if plugged_in or not self._plugged or self.qemu.exited is not None or self.log.milestone < Milestone.PCI:
            return False
        return now_s >= heard_s + silent_s and (self.looks.asked_s < heard_s or now_s >= self._asks_again_s)

    @property
    def _asks_again_s(self) -> float:
        """When to ask the boot CPU once more in the same silence."""
        return max(0.0, self.looks.asked_s) + self.settings.limits.ask_again_s

    def _situation(self, silent_since_s: float | None, now_s: float) -> Situation:
        settings, times, looks, exited = self.settings, self.times, self.looks, self.qemu.exited
        return Situation(
            now_s=now_s,
            started_s=times.began_s,
            expected=settings.smp,
            last_output_s=times.heard_s,
            returncode=None if exited is None else exited.status,
            stderr="" if exited is None else exited.stderr,
            resets=self.qemu.resets,
            panicked=self.qemu.panicked,
            silent_since_s=silent_since_s,
            looked_s=looks.ended_s,
            seen=looks.said,
            load=settings.load,
            known_firmware=settings.understood,
            goes_on=settings.goes_on,
            waits=looks.waits and looks.asked_s >= times.heard_s,
        )

    def _judge(self, silent_since_s: float | None, now_s: float) -> tuple[list[WatchAction], Verdict | Doubt | None]:
        """Return the judgement on the bring-up under way, and in a series the healthy ones before it, to be counted."""
        counted: list[WatchAction] = []
        try:
            while self._series is not None and self._series.over:
                ended = self._series.over.popleft()
                if not isinstance(ended, int):
                    situation = replace(self._situation(silent_since_s, now_s), goes_on=False)
                    judged = assess(situation, ended, self.settings.limits)
                    if not isinstance(judged, Verdict) or judged.outcome is not Outcome.OK:
                        return counted, judged
                    ended = 1  # late, and all in
                counted.append(events.CountHealthy(min(ended, self._left), ended))
                self._left -= min(ended, self._left)
                self.times.began_s = now_s
                if not self._left:
                    return counted, SERIES_OVER
            return counted, assess(self._situation(silent_since_s, now_s), self.log, self.settings.limits)
        except Exception as error:  # a judge that crashes says unknown, never ok
            title = f"the judge failed: {error!r}"
            return counted, Verdict(Outcome.UNKNOWN, title, confidence=Confidence.INCONCLUSIVE)

    def _came_before_the_look(self) -> bool:
        """Whether what was doubted came after all, before the hammers rested: the guest may stand where it ends."""
        return self.looks.doubted_s < self.times.progressed_s <= self.looks.rested_s

    def _believed(self, verdict: Verdict, now_s: float) -> bool:
        silence_s = now_s - self.times.heard_s
        sure = verdict.confidence is not Confidence.INCONCLUSIVE
        return sure and silence_s >= patience_s(verdict, self.settings.limits)

    # ---- what several of them do

    def _steer(self) -> Iterator[WatchAction]:
        """Have each hammer keep to its phases. After a look that was not believed they wait for the guest to speak."""
        if self.looks.ended_s is not None and self.looks.ended_s > self.times.heard_s:
            return
        milestone = self.log.milestone
        yield from (events.TellChurn(reached) for reached in Milestone if self._told < reached <= milestone)
        self._told = max(self._told, milestone)
        for index, (start, until) in enumerate(self.settings.hammers):
            if (start <= milestone < until) is not (index in self._active):
                self._active ^= {index}
                yield events.StartHammer(index) if index in self._active else events.StopHammer(index)

    def _calm(self) -> list[WatchAction]:
        stops: list[WatchAction] = [events.StopHammer(index) for index in sorted(self._active)]
        self._active.clear()
        return [*stops, events.ReleaseAps()]

    def _cleared(self, now_s: float) -> Iterator[Why | WatchAction]:
        yield Why.CLEARED
        yield events.HoldAps()
        yield events.WakeAt(now_s)

    def _decided(self, verdict: Verdict, now_s: float, rig_reason: str = "") -> Iterator[WatchAction]:
        self.verdict, self.rig_reason, self.times.decided_s = verdict, rig_reason, now_s
        yield from self._calm()
        yield events.Decide(verdict, rig_reason)


_AWAITED = {(state, kind) for state, kind, _ in TRANSITIONS}
_HANDLERS: Mapping[type[WatchEvent], Callable[[Watch, Any, float], Iterator[Any]]] = {
    events.Started: Watch._started,
    events.Tick: Watch._tick,
    events.PlugTried: Watch._plug_tried,
    events.BootCpuSeen: Watch._boot_cpu_seen,
    events.Looked: Watch._looked,
    events.LookFailed: Watch._look_failed,
    events.StallSeen: Watch._stall_seen,
    events.Enough: Watch._enough,
    events.RigFailed: Watch._rig_failed,
    events.WindowLogRead: Watch._window_log_read,
}
