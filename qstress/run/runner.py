"""What gives a soak's trials their context and takes in what comes back of them."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from qstress.config.layers import JOURNALS_VARIABLE
from qstress.config.settings import Settings
from qstress.host.sandbox import has_sandbox
from qstress.hostlog.findings import LiveTrials
from qstress.interposer import build as interposer
from qstress.model import Build, FindingClass, Host, Outcome, Shape, StormCount, Trial
from qstress.observe.usage import CpuTimes, cpu_times
from qstress.run.campaign import Deliver
from qstress.run.control import ControlBoot, control_boot_of
from qstress.store.rows import as_stored
from qstress.store.write import RunStore
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, TrialContext
from qstress.trial.process_run import run_process
from qstress.verdict.limits import Learned

#: Runs trials of one cell and tells a coordinator: :func:`qstress.trial.process_run.run_process`, here or elsewhere.
RunProcess = Callable[[Sequence[Trial], TrialContext, Coordinator], Awaitable[None]]
#: Told what moved and kicked the vCPUs of one QEMU: the place of its cell in the plan, the counts, and its host.
OnKicks = Callable[[int, StormCount, Host | None], None]


def build_environments(builds: Sequence[Build]) -> tuple[dict[str, Mapping[str, str]], dict[str, bool]]:
    """Return, by the names of *builds*, what the interposer adds to QEMU's environment, and whether it has a sandbox.

    :raises RigError: the interposer is asked for and cannot be built.
    """
    return {b.name: interposer.environment(b) for b in builds}, {b.name: has_sandbox(b) for b in builds}


@dataclass(slots=True)
class CellMemory:
    """What the trials of one cell have shown on one host: what healthy bring-ups are like there, and which classes."""

    learned: Learned = field(default_factory=Learned)
    known: set[FindingClass | None] = field(default_factory=set)

    def add(self, finished: FinishedTrial) -> None:
        """Take in what comes back of one trial."""
        if finished.healthy is not None:
            self.learned = finished.healthy.added_to(self.learned)
        if finished.result.verdict.outcome in (Outcome.HANG, Outcome.RESTART):
            self.known.add(finished.result.verdict.finding_class)


class SoakRunner:
    """Runs the trials of a process-run on a lane, with each build's environment made once. Calling it is a
    ``campaign.TrialRunner``.

    :param on_kicks: told, per cell index and host, what moved and kicked the vCPUs of each QEMU.
    :param live_trials: knows which trials are alive, for the host's kernel log; where builds run on hosts of their own,
        by the builds' names.
    :param elsewhere: runs them, if not this process does.
    :param host_of: returns on which host the block of a lane is, where there are several.
    :raises RigError: the interposer is asked for and cannot be built.
    """

    def __init__(
        self, settings: Settings, store: RunStore, on_kicks: OnKicks,
        live_trials: LiveTrials | Mapping[str, LiveTrials],
        elsewhere: RunProcess | None = None, host_of: Callable[[int], Host | None] = lambda lane: None,
    ) -> None:  # fmt: skip
        self._elsewhere, self._host_of = elsewhere, host_of
        self._env, self._sandboxed = build_environments(settings.builds)
        self._began: tuple[float, CpuTimes] = time.monotonic(), cpu_times()
        self._store = store
        self._on_kicks = on_kicks
        self._live_trials = live_trials
        self._cells: dict[tuple[int, Host | None], CellMemory] = {}
        self._can_run: set[tuple[str, Shape, Host | None]] = set()  # one such guest came up there, undisturbed
        self._controlling = anyio.Lock()

    async def __call__(self, trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
        """Run *trials*, all of one cell, on lane number *lane*; each goes to *deliver* before the next begins."""
        host = self._host_of(lane)
        memory = self._cells.setdefault((trials[0].cell_index, host), CellMemory())
        alive, name = self._live_trials, trials[0].cell.build.name
        listener = _RunCoordinator(
            memory, self._on_kicks, alive if isinstance(alive, LiveTrials) else alive[name], deliver, host
        )
        run, context = self._elsewhere or run_process, self._context(trials[0], lane, memory)
        await self._control(trials[0], host, run, context)
        await run(trials, context, listener)

    async def _control(self, first: Trial, host: Host | None, run: RunProcess, context: TrialContext) -> None:
        """See that *host* can run guests like that of *first*, once for each shape and build."""
        control, cell = control_boot_of(first), first.cell
        guest = (cell.build.name, cell.stratum.shape, host)
        async with self._controlling:
            if control is not None and guest not in self._can_run:
                boot = ControlBoot()
                await run([control], context, boot)
                boot.must_have_come_up()
                self._can_run.add(guest)

    def _context(self, first: Trial, lane: int, memory: CellMemory) -> TrialContext:
        began_s, since = self._began
        name = first.cell.build.name
        return TrialContext(
            lane=lane, run_began_s=began_s, env=self._env[name], sandbox=self._sandboxed[name], since=since,
            learned=memory.learned, known=frozenset(memory.known),
            evidence=EvidenceQuota(self._store.evidence_limit, self._store.kept_of(first.cell_index)),
            journals=os.environ.get(JOURNALS_VARIABLE, ""),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _RunCoordinator(Coordinator):
    """What one process-run tells: to the memory of its cell, the tally, the roll and the campaign."""

    memory: CellMemory
    on_kicks: OnKicks
    live_trials: LiveTrials
    deliver: Deliver
    host: Host | None

    def began(self, trial: Trial, pid: int) -> None:
        self.live_trials.begin(trial.number, pid, time.monotonic())

    def ended(self, trial: Trial) -> None:
        self.live_trials.end(trial.number, time.monotonic())

    def kicked(self, cell_index: int, count: StormCount) -> None:
        self.on_kicks(cell_index, count, self.host)

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        for each in finished:
            self.memory.add(each)
        # as stored: what a summary made again from the store is made of
        return self.deliver([(as_stored(each.result, self.host), each.evidence) for each in finished])
