"""Runs a soak's trials where the soak is not: messages in on standard input, out on standard output.

``python -m qstress.run.served``. The soak keeps everything: plan, store, statistics. A finding is on its disk before
the next trial begins here.
"""

from __future__ import annotations

import os
import select
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from qstress.host.facts import emulated_host
from qstress.model import StormCount, Trial
from qstress.observe.usage import cpu_times, host_load, starved_beneath_s
from qstress.run.messages import Began, Ended, Finished, Inbox, Kicked, Message, Over, Run, Taken, encoded
from qstress.trial.context import Coordinator, FinishedTrial
from qstress.trial.process_run import run_process

_CHUNK = 1 << 16


class Served:
    """One end of the conversation, on two descriptors."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._in = input_fd
        self._out = output_fd
        self._inbox = Inbox()
        self._tasks: TaskGroup | None = None
        self._stopped: set[int] = set()  # runs of which no more is wanted
        self._taken: set[int] = set()  # runs whose last finding is kept
        self._over = False
        self._since = cpu_times()

    async def serve(self) -> None:
        """Run what is asked for until the other end is closed; guests still running then are killed."""
        async with anyio.create_task_group() as self._tasks:
            while not self._over:
                await anyio.wait_readable(self._in)
                self._read()
            self._tasks.cancel_scope.cancel()

    def send(self, message: Message) -> None:
        """Send *message*, all of it."""
        view = memoryview(encoded(message))
        while view:
            view = view[os.write(self._out, view) :]

    def take(self, number: int, finished: Sequence[FinishedTrial]) -> bool:
        """Send what is finished; with a finding in it, wait until it is kept. Return whether to go on."""
        waits = any(each.result.verdict.outcome.finding for each in finished)
        self._taken.discard(number)
        self.send(Finished(number, tuple(finished), waits))
        while waits and number not in self._taken and not self._over:
            select.select([self._in], [], [])
            self._read()
        return number not in self._stopped and not self._over

    def _read(self) -> None:
        data = os.read(self._in, _CHUNK)
        self._over = self._over or not data
        for message in self._inbox.feed(data):
            match message:
                case Run() if self._tasks is not None:
                    self._tasks.start_soon(self._run, message)
                case Taken(number, go_on):
                    self._taken.add(number)
                    if not go_on:
                        self._stopped.add(number)
                case _:
                    pass

    async def _run(self, asked: Run) -> None:
        error = ""
        context = replace(asked.context, run_began_s=time.monotonic() - asked.age_s, since=self._since)
        try:
            await run_process(asked.trials, context, _Away(self, asked.number))
        except Exception:
            error = traceback.format_exc()
        self.send(Over(asked.number, error))


def _clocks() -> tuple[float, float]:
    """Return the time, and how long this host had no CPU of the machine beneath, both in seconds since some moment."""
    return time.monotonic(), starved_beneath_s()


@dataclass(frozen=True, slots=True)
class _Away(Coordinator):
    """The coordinator of one process-run, at the other end."""

    served: Served
    number: int
    first: tuple[float, float] = field(default_factory=_clocks)
    since: dict[int, tuple[float, float]] = field(default_factory=dict)  # by trial number: as it began

    def began(self, trial: Trial, pid: int) -> None:
        self.since[trial.number] = _clocks()
        self.served.send(Began(self.number, trial, pid))

    def ended(self, trial: Trial) -> None:
        self.served.send(Ended(self.number, trial))

    def kicked(self, cell_index: int, count: StormCount) -> None:
        self.served.send(Kicked(self.number, cell_index, count))

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        for each in finished:
            if each.evidence is not None:
                then, now = self.since.get(each.result.trial.number, self.first), _clocks()
                beneath = {"starved_s": now[1] - then[1], "of_s": now[0] - then[0]}
                each.evidence.notes["host"] = {**host_load(), "emulated": emulated_host(), "beneath": beneath}
        return self.served.take(self.number, finished)


def serve_trials() -> None:
    """Serve on standard input and output; what else is printed goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    anyio.run(Served(0, out).serve)


if __name__ == "__main__":
    serve_trials()
