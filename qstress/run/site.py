"""Where a fleet's worker runs trials: process-runs on the worker's own loop, packets of messages in and out.

Nothing here knows how packets travel (``qstress.run.dask_fleet`` does). QEMU is started from the loop's thread, which
lives as long as the worker does: its parent-death signal comes when the *thread* that started it ends.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

import anyio

from qstress.model import Build, StormCount, Trial
from qstress.observe.usage import cpu_times, host_load
from qstress.run.messages import Began, Ended, Finished, Kicked, Mailbox, Message, Over, Run, Taken
from qstress.run.runner import RunProcess, build_environments
from qstress.trial.context import Coordinator, FinishedTrial
from qstress.trial.process_run import run_process

#: An exchange is answered after so long, though there is nothing to say.
POLL_S = 5.0
#: What is not urgent waits so long for more of its kind.
GATHER_S = 0.1
#: Guests are killed when nobody has asked for so long: the soak is gone, or takes this worker for lost.
LEASE_S = 45.0


class Site:
    """What one worker runs of one soak: :meth:`serve` goes on as long as :meth:`exchange` is called.

    :param host: what this host is called in the evidence of findings.
    :param run: runs the trials of a process-run, if QEMU does not.
    :raises RigError: the interposer cannot be built here.
    """

    def __init__(self, builds: Sequence[Build], host: str, run: RunProcess | None = None) -> None:
        self._env, self._sandboxed = build_environments(builds)
        self._host = host
        self._run_process = run or run_process
        self._mail = Mailbox()
        self._turn = 0  # of the newest exchange
        self._urgent = False
        self._stopped: set[int] = set()  # runs of which no more is wanted
        self._since = cpu_times()
        self.serving = False

    async def serve(self) -> None:
        """Run what is asked for until :meth:`close`, or until nobody asks; guests still running then are killed."""
        self._news, self._ended = anyio.Event(), anyio.Event()
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + LEASE_S) as self._lease:
                async with anyio.create_task_group() as self._tasks:
                    self.serving = True
                    await anyio.sleep_forever()
        finally:
            self.serving, self._turn = False, self._turn + 1  # an exchange that waits is answered
            self._wake()
            self._ended.set()

    async def close(self) -> None:
        """End :meth:`serve`; return once no guest is left."""
        self._lease.cancel()
        await self._ended.wait()

    async def exchange(self, packet: bytes, again: bool = False) -> bytes:
        """Take a packet, and return one as soon as there is something to say; a newer exchange takes the turn.

        :param again: the answer to an earlier one was lost: this one is given at once.
        """
        self._lease.deadline = anyio.current_time() + LEASE_S
        for message in self._mail.take(packet):
            if isinstance(message, Run):
                self._tasks.start_soon(self._run, message)
            elif isinstance(message, Taken):
                self._stopped.add(message.number)
        self._turn += 1
        mine, self._urgent = self._turn, self._urgent or again
        self._wake()
        with anyio.move_on_after(POLL_S) as wait:
            while mine == self._turn and not self._urgent:
                if self._mail.unsent:
                    wait.deadline = min(wait.deadline, anyio.current_time() + GATHER_S)
                await self._news.wait()
        self._urgent = False
        return self._mail.packet()

    def say(self, message: Message, *, urgent: bool = False) -> None:
        """Have *message* told: soon, or, if *urgent*, at once."""
        self._mail.put(message)
        self._urgent = self._urgent or urgent
        self._wake()

    def take(self, number: int, finished: Sequence[FinishedTrial]) -> bool:
        """Tell what is finished of run *number*; return whether to go on."""
        for each in finished:
            if each.evidence is not None:
                each.evidence.notes["host"] = {**host_load(), "worker": self._host}
        found = any(each.result.verdict.outcome.finding for each in finished)
        self.say(Finished(number, tuple(finished), waits=False), urgent=found)
        return number not in self._stopped

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _run(self, asked: Run) -> None:
        name = asked.trials[0].cell.build.name
        context = replace(
            asked.context, run_began_s=time.monotonic() - asked.age_s, since=self._since, env=self._env.get(name),
            sandbox=self._sandboxed.get(name, True),
        )  # fmt: skip
        error = ""
        try:
            await self._run_process(asked.trials, context, _Away(self, asked.number))
        except Exception:
            error = traceback.format_exc()
        self.say(Over(asked.number, error), urgent=True)
        self._stopped.discard(asked.number)


class _Away(Coordinator):
    """The coordinator of one process-run, at the other end."""

    def __init__(self, site: Site, number: int) -> None:
        self._site, self._number = site, number

    def began(self, trial: Trial, pid: int) -> None:
        self._site.say(Began(self._number, trial, pid))

    def ended(self, trial: Trial) -> None:
        self._site.say(Ended(self._number, trial))

    def kicked(self, cell_index: int, count: StormCount) -> None:
        self._site.say(Kicked(self._number, cell_index, count))

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        return self._site.take(self._number, finished)
