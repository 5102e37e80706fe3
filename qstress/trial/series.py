"""Bring-up after bring-up of one guest that resets itself: healthy ones are counted, the others looked at.

smpscan makes thousands of bring-ups a second, so a trial each of its own is out of the question. Here the console is
watched as it comes: bring-ups that ended well become results at once, a handful at a time; the first that did not, or
that does not come to an end, is judged as any other trial is, and ends the series.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import cast

from qstress.firmware.base import SeriesReader
from qstress.guest.live import Guest
from qstress.interposer.log import WindowLog
from qstress.interposer.windows import Log, bringup_began_ns, duty_cycle, since, windows
from qstress.model import CommandCount, Outcome, Trial, TrialResult, Verdict
from qstress.trial.bringup import Bringup, Start
from qstress.trial.context import TrialContext
from qstress.trial.instrumented import InstrumentedGuest
from qstress.verdict.judge import Doubt, Situation, assess

#: A series ends after so many bring-ups, so that somebody can look how its process does.
LONGEST = 1000
#: How much of the window log is read for one finding, or for the duty cycle of a series: some seconds, parsed in 0.1 s.
RECENT = 50_000


class Series(Bringup):
    """At most *most* trials of one cell on one machine, from the first of *todo* on; those that are over are taken out.

    *deliver* is given the healthy ones and says whether to go on. When :meth:`on` returns, ``finished`` says whether
    the series simply came to its end; else the first trial in *todo* has a verdict, and is the caller's to deliver.
    """

    def __init__(
        self, todo: deque[Trial], most: int, bench: TrialContext, deliver: Callable[[Sequence[TrialResult]], bool]
    ) -> None:
        super().__init__(todo[0], bench)
        self.finished = False
        self._todo = todo
        self._deliver = deliver
        self._machine: InstrumentedGuest | None = None
        self._log: WindowLog | None = None
        self._exposed: float | None = None
        self._left = min(LONGEST, most)
        self._since_s = self.entered_s
        self._sent: tuple[CommandCount, ...] = ()
        self._answered: tuple[int, ...] = ()

    async def on(self, made: InstrumentedGuest, start: Start = Start.CONT) -> None:
        """See :meth:`Bringup.on`."""
        self._machine, self._log = made, made.log
        await super().on(made, start)

    def commands(self) -> tuple[CommandCount, ...]:
        """Return what became of each hammer's commands since this was asked last."""
        before, self._sent = self._sent, super().commands()
        return tuple(map(_less, self._sent, before)) if before else self._sent

    def latencies(self) -> tuple[int, ...]:
        """Return the replies per bucket since this was asked last."""
        before, self._answered = self._answered, super().latencies()
        if not before:
            return self._answered
        return tuple(now - then for now, then in zip(self._answered, before, strict=True))

    def ask(self, log: Log | None) -> None:
        """See :meth:`Bringup.ask`; the log also knows better than the console when the bring-up in question began."""
        if log is not None:
            self._exposed = self.exposure_over(log)
            began_ns = bringup_began_ns(log, self.zero_ns)
            self.began_s = began_ns / 1e9
            log = since(log, began_ns)
        super().ask(log)

    def exposure(self, log: Log) -> float | None:
        """Return D over everything that was recorded since the last finding: an INIT falls anywhere in it."""
        return self._exposed

    @staticmethod
    def exposure_over(log: Log) -> float | None:
        """Return D over all of *log*."""
        times = [record.ns for record in log.records]
        return duty_cycle(windows(log), times[0], times[-1]) if times else None

    def _judge(self, situation: Situation, guest: Guest) -> Verdict | Doubt | None:
        boots = cast(SeriesReader, guest.console.log)
        while boots.over:
            over = boots.over.popleft()
            if not isinstance(over, int):
                verdict = assess(replace(situation, goes_on=False), over, self.limits)
                if not isinstance(verdict, Verdict) or verdict.outcome is not Outcome.OK:
                    return verdict
                over = 1  # late, and all in
            if not self._count(over):
                self.finished = True
                return Verdict(Outcome.OK, "the series is over")
        return super()._judge(replace(situation, started_s=self.began_s or 0.0), guest)

    def _count(self, healthy: int) -> bool:
        """Deliver *healthy* trials, which share the time since the last ones; return whether to go on."""
        now_s, taken = time.monotonic(), min(healthy, self._left)
        each_s = (now_s - self._since_s) / healthy
        began_s = self._since_s - self.bench.run_began_s
        ok = Verdict(Outcome.OK, f"Found {self.trial.cell.stratum.shape.smp} cpu(s)")
        results = [
            TrialResult(trial, ok, began_s + i * each_s, each_s, boot_s=each_s)
            for i, trial in enumerate(islice(self._todo, taken))
        ]
        self._left -= taken
        log = self._log.read(RECENT) if self._log is not None and not self._left else None
        results[-1] = replace(
            results[-1], commands=self.commands(), latencies=self.latencies(),
            duty_cycle=self.exposure_over(log) if log is not None else None,
        )  # fmt: skip
        for _ in results:
            self._todo.popleft()
        self._since_s = self.began_s = self.entered_s = now_s
        go_on = self._deliver(results) and self._left > 0
        if go_on:
            self.trial = self._todo[0]
            if self._machine is not None:
                self._machine.turn_to(self.trial)
        return go_on


def _less(now: CommandCount, then: CommandCount) -> CommandCount:
    return CommandCount(
        now.command, now.returned - then.returned, now.errors - then.errors, now.timeouts - then.timeouts,
        now.lost - then.lost, now.hammered_s - then.hammered_s, now.due - then.due,
    )  # fmt: skip
