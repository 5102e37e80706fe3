"""What a person sees while a run goes on, on stderr: a live panel on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TextIO

import anyio

from qstress.model import TrialResult
from qstress.report.progress import RunProgress, plain_progress, run_progress
from qstress.report.wording import printable

if TYPE_CHECKING:
    from rich.live import Live

    from qstress.run.soak import Soak

PANEL_EVERY_S, LINE_EVERY_S = 0.25, 10.0


class Screen:
    """Follows one run: its findings as they come, and how far it is.

    ``quiet`` shows nothing at all, ``verbose`` a line for every trial. Without *progress* neither findings nor how far
    it is are shown (a verbose one's trials are). On a terminal a live panel is kept below the findings.
    """

    def __init__(self, *, quiet: bool, verbose: bool, progress: bool = True, stream: TextIO = sys.stderr) -> None:
        self._quiet, self._verbose, self._progress, self._stream = quiet, verbose, progress and not quiet, stream
        self._panel = self._progress and not verbose and stream.isatty()
        self._live: Live | None = None
        self._trials = 0

    def on_result(self, result: TrialResult, place: str | None) -> None:
        """Take note of a finished trial: findings are worth a line of their own."""
        self._trials += 1
        verdict, trial = result.verdict, result.trial
        if not (self._verbose or (self._progress and verdict.outcome.finding)):
            return
        where = f" [{place}]" if place else ""
        name = f"{trial.cell.build.name} smp {trial.cell.stratum.shape.smp}"
        self.say(f"trial {trial.number} {name}: {verdict.outcome}: {printable(verdict.title)}{where}")

    def say(self, line: str) -> None:
        """Print one line unless quiet, above the panel where there is one."""
        if self._quiet:
            return
        if self._live is None:
            print(line, file=self._stream, flush=True)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @asynccontextmanager
    async def following(self, soak: Soak) -> AsyncIterator[None]:
        """Show the progress of *soak* while the block runs."""
        if not self._progress:
            yield
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show_panel if self._panel else self._show_lines, soak)
            yield
            tasks.cancel_scope.cancel()

    async def _show_lines(self, soak: Soak) -> None:
        while True:
            await anyio.sleep(LINE_EVERY_S)
            self.say(plain_progress(self._now(soak)))

    async def _show_panel(self, soak: Soak) -> None:
        from rich.console import Console
        from rich.live import Live

        from qstress.report.live import renderable

        console = Console(file=self._stream)
        with Live(renderable(self._now(soak), soak.store.run_id), console=console, auto_refresh=False) as live:
            self._live = live
            try:
                while True:
                    await anyio.sleep(PANEL_EVERY_S)
                    live.update(renderable(self._now(soak), soak.store.run_id), refresh=True)
            finally:
                self._live = None

    def _now(self, soak: Soak) -> RunProgress:
        return run_progress(
            soak.tally,
            elapsed_s=soak.campaign.duration_s,
            trials=self._trials + soak.campaign.first_block * len(soak.settings.builds),
            trials_planned=soak.settings.stop_trials,
            duration_s=soak.settings.stop_duration_s,
            lanes=soak.settings.lanes,
            running=soak.campaign.running,
        )
