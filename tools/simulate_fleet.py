"""A fleet simulated: the coordinator as it is, with its store and statistics, and workers that live in virtual time.

``python -m tools.simulate_fleet --seeds 200 --trials 5000``. Everything but dask and QEMU is the real thing: campaign,
fleet, mailboxes, sites, store, tally. Each seed draws workers that die, hang, are slow, lose packets or fill their
disk, and trials that end as planned; it is checked that nothing was lost or counted twice and that the statistics are
those of the same outcomes in one process. A seed always gives the same run.

After TigerBeetle's simulator, with anyio on an asyncio loop whose clock jumps to the next timer.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import resource
import selectors
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from qstress.config.binary import sha256_of
from qstress.config.kvm import KvmFacts
from qstress.config.settings import Compare, Settings
from qstress.model import (
    LATENCY_BUCKETS_S,
    Accel,
    Build,
    CommandCount,
    Evidence,
    FindingClass,
    HammerSpec,
    Outcome,
    Rate,
    Shape,
    Stratum,
    Trial,
    TrialResult,
    Verdict,
)
from qstress.recorded.totals import RunTotals
from qstress.run.campaign import PlaceLost
from qstress.run.fleet import Fleet
from qstress.run.site import Site
from qstress.run.soak import Soak, start
from qstress.store.read import open_run
from qstress.store.rows import as_stored
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext

LOST = Verdict(Outcome.HANG, "lost INIT: CPU#1", FindingClass.LOST_INIT, "lost-init/simulated")
OK = Verdict(Outcome.OK, "ok")
#: Runs are recorded here, where there is one: what a disk takes is measured elsewhere.
MEMORY = Path("/dev/shm")
RIG = Verdict(Outcome.RIG, "no space left on device")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands while anything can run, and then jumps to the next timer."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now_s

    def jump(self, by_s: float) -> None:
        """Let *by_s* seconds go by."""
        self._now_s += by_s


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self._loop.jump(timeout)
        return []


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated, and of how many trials one loses an AP."""

    workers: int = 100
    lanes: int = 1000
    trials: int = 20_000
    lost_share: float = 0.01


@dataclass(slots=True)
class Simulated:
    """What came of one seed; ``digest`` is of everything that was counted, in order."""

    digest: str
    trials: int
    findings: int
    lost_blocks: int
    lost_workers: int
    refused: int
    cpu_s: float
    virtual_s: float
    latencies_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)  # after each tenth of the trials
    faults: list[str] = field(default_factory=list)


def settings_for(size: Size, seed: int, runs: Path) -> Settings:
    """Return the settings of a simulated run: two builds, of which the first loses APs."""
    binary = "/bin/true"
    builds = tuple(
        Build(name, binary, "7.2.22", sha256_of(Path(binary)), lost_ap_share=share)
        for name, share in (("faulty", size.lost_share), ("stock", 0.0))
    )
    shape = Shape(4, "pc", Accel.TCG, 32 << 20, "seabios")
    hammer = HammerSpec("info registers -a", "hmp", Rate(None, "max"))
    return Settings(
        name="simulated", builds=builds, strata=(Stratum(shape, (hammer,)),), stop_trials=size.trials,
        stop_duration_s=None, stop_decided=False, compare=Compare("faulty", ("stock",), 1e-6, 0.95), gate=None,
        lanes=size.lanes, seed=seed, runs_dir=runs, metrics_listen=None, metrics_textfile=None,
        accel_note="simulated", workers=size.workers,
    )  # fmt: skip


def answer(trial: Trial) -> TrialResult:
    """Return how *trial* ends wherever it runs, with the times and counts of a boot under TCG."""
    draw = random.Random(trial.seed)
    boot_s = draw.lognormvariate(-1.4, 0.25)
    verdict = LOST if trial.inject_lost_ap else OK
    duration_s = 2.0 + boot_s if trial.inject_lost_ap else boot_s + 0.1
    latencies = [0] * (len(LATENCY_BUCKETS_S) + 1)
    for _ in range(sent := draw.randrange(8, 20)):
        latencies[draw.randrange(2, 7)] += 1
    return TrialResult(
        trial, verdict, 0.0, duration_s, None if trial.inject_lost_ap else boot_s,
        2.0 if trial.inject_lost_ap else None, (CommandCount("info registers -a", sent, hammered_s=boot_s, due=sent),),
        tuple(latencies),
    )  # fmt: skip


class Worker:
    """One simulated worker, alive again and again."""

    def __init__(self, world: World, number: int) -> None:
        self.name, self.lanes, self.host = f"w{number}", -(-world.size.lanes // world.size.workers), None
        self._world = world
        self._draw = draw = random.Random(f"{world.seed}/worker/{number}")
        self._slower = draw.choice((5.0, 20.0)) if draw.random() < 0.05 else 1.0
        self._full_from_s = draw.uniform(0, 20) if draw.random() < 0.05 else float("inf")
        self._cut_share = draw.choice((0.0, 0.0, 0.001, 0.02))
        self._silent_until_s = 0.0
        self._dead = False
        self._site = Site([], self.name, self._play)

    async def live(self, fleet: Fleet, tasks: TaskGroup) -> None:
        """Be there, die, or be silent for a while, and come again."""
        while not fleet.conduct(self.name).refused:
            self._site, self._dead, attended = Site([], self.name, self._play), False, anyio.Event()
            tasks.start_soon(self._site.serve)
            while not self._site.serving:
                await anyio.lowlevel.checkpoint()

            async def attend(done: anyio.Event) -> None:
                await fleet.attend(self)
                done.set()

            tasks.start_soon(attend, attended)
            with anyio.move_on_after(self._draw.expovariate(1 / self._world.life_s)):
                await attended.wait()
            if self._draw.random() < 0.5:
                self._dead = True
                await self._site.close()
            else:
                self._silent_until_s = anyio.current_time() + self._draw.uniform(0, 100)
                await anyio.sleep_until(self._silent_until_s)
            if self._dead:
                await attended.wait()
            if attended.is_set():
                if self._site.serving:
                    await self._site.close()
                await anyio.sleep(self._draw.uniform(1, 30))
            else:  # it was silent, and nobody has minded
                with anyio.move_on_after(self._draw.expovariate(1 / self._world.life_s)):
                    await attended.wait()
                self._dead = True
                await self._site.close()
                await attended.wait()

    async def exchange(self, packet: bytes, again: bool) -> bytes:
        """As a worker's: later, at times not at all."""
        await self._way()
        got = await self._site.exchange(packet, again)
        await self._way()
        return got

    async def _way(self) -> None:
        await anyio.sleep(self._draw.uniform(0.0002, 0.002))
        if (silent_s := self._silent_until_s - anyio.current_time()) > 0:
            await anyio.sleep(silent_s)
        if self._dead:
            raise PlaceLost(f"worker {self.name} has ended")
        if self._draw.random() < self._cut_share:
            raise OSError("cut")

    async def _play(self, trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        for trial in trials:
            coordinator.began(trial, 1)
            if anyio.current_time() > self._full_from_s:
                await anyio.sleep(0.05)
                done = replace(answer(trial), verdict=RIG, rig_reason="disk-full", boot_s=None, detection_s=None)
            else:
                done = answer(trial)
                await anyio.sleep(done.duration_s * self._slower)
            kept = done.verdict.outcome.finding and context.evidence.wants(done.verdict, Counter())
            evidence = Evidence(console=b"x" * 20_000, stderr=self.name) if kept else None
            if done.verdict.outcome.finding:
                self._world.made[trial.number].append(anyio.current_time())
            coordinator.take([FinishedTrial(replace(done, started_s=anyio.current_time()), evidence)])
            coordinator.ended(trial)


class World:
    """All workers of one seed, and what they made."""

    def __init__(self, size: Size, seed: int) -> None:
        self.size, self.seed = size, seed
        draw = random.Random(f"{seed}/world")
        self.life_s = draw.choice((5.0, 30.0, 300.0))
        self.made: dict[int, list[float]] = defaultdict(list)  # when each finding was made, by its trial's number
        self.latencies_s: list[float] = []
        self.recorded: Counter[int] = Counter()
        self.rss_mib: list[float] = []
        self._results = 0

    def on_result(self, result: TrialResult, place: str | None) -> None:
        """Take note of what is on disk now."""
        self._results += 1
        if self._results % max(1, self.size.trials // 10) == 0:
            self.rss_mib.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
        if result.verdict.outcome.finding:
            self.recorded[result.trial.number] += 1
            self.latencies_s.append(anyio.current_time() - self.made[result.trial.number][-1])

    async def run(self, soak: Soak) -> float:
        """Run *soak* with these workers; return how long that took there."""
        assert soak.fleet is not None
        async with anyio.create_task_group() as tasks:
            for number in range(self.size.workers):
                tasks.start_soon(Worker(self, number).live, soak.fleet, tasks)
            await soak.campaign.run()
            tasks.cancel_scope.cancel()
        return anyio.current_time()


def simulate(size: Size, seed: int, runs: Path) -> Simulated:
    """Run one seed, its folder in *runs*, and check it."""
    world, asked = World(size, seed), settings_for(size, seed, runs)
    began_s = time.process_time()
    with ExitStack() as stack:
        soak = start(asked, KvmFacts(False, "simulated"), stack=stack, on_result=world.on_result)
        virtual_s = anyio.run(world.run, soak, backend_options={"loop_factory": VirtualLoop})
        cpu_s = time.process_time() - began_s
        path = soak.store.path
    assert soak.fleet is not None
    lost = len(soak.lost_findings)
    conducts = soak.fleet.conducts.values()
    told = Simulated(
        "", 0, sum(world.recorded.values()), lost, sum(each.lost for each in conducts),
        sum(bool(each.refused) for each in conducts), cpu_s, virtual_s, world.latencies_s, world.rss_mib,
    )  # fmt: skip
    check(soak, world, path, told)
    return told


def check(soak: Soak, world: World, path: Path, told: Simulated) -> None:
    """Note in *told* what is wrong with what was recorded in *path*."""
    alone, digest = RunTotals(soak.settings, soak.plan), hashlib.sha256()
    with open_run(path) as record:
        for block, results in enumerate(record.results(soak.plan.block)):
            planned = sorted(soak.plan.block(block), key=lambda trial: trial.number)
            if [result.trial for result in results] != planned:
                told.faults.append(f"block {block} holds other trials")
            for result in results:
                outcome, meant = result.verdict.outcome, answer(result.trial).verdict.outcome
                digest.update(f"{result.trial.number} {outcome} {result.started_s}\n".encode())
                if outcome not in (meant, Outcome.RIG):
                    told.faults.append(f"trial {result.trial.number} is {outcome}, not {meant}")
            alone.add_block([as_stored(result) for result in results], {})
            told.trials += len(results)
        rows = Counter(found.number for found in record.findings())
        counted = Counter(found.number for found in record.findings() if found.counted)
    told.digest = digest.hexdigest()
    if told.trials != soak.settings.stop_trials:
        told.faults.append(f"{told.trials} trials, not {soak.settings.stop_trials}")
    told.faults += [f"finding of trial {number} counts {times} times" for number, times in counted.items() if times > 1]
    for number, times in rows.items():
        if not times == world.recorded[number] <= len(world.made[number]):
            told.faults.append(f"finding of trial {number}: made {len(world.made[number])}, kept {times}")
    one, other = soak.tally, alone.tally
    if [cell.outcomes for cell in one.cells] != [cell.outcomes for cell in other.cells]:
        told.faults.append("the tally is not that of the same outcomes in one process")
    if one.reached_log10("faulty", "stock") != other.reached_log10("faulty", "stock"):
        told.faults.append("the evidence is not that of the same outcomes in one process")


def main() -> None:
    """Run seeds; print a line each, and end with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    for name, default in (("workers", 100), ("lanes", 1000), ("trials", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    size, wrong, all_s = Size(asked.workers, asked.lanes, asked.trials), 0, []
    for seed in range(asked.first, asked.first + asked.seeds):
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            done = simulate(size, seed, Path(folder))
        wrong += bool(done.faults)
        all_s += done.latencies_s
        rss = " ".join(f"{mib:.0f}" for mib in done.rss_mib)
        each_ms = done.cpu_s / done.trials * 1e3
        workers = f"{done.lost_workers} workers lost, {done.refused} refused"
        says = "; ".join(done.faults[:3]) or "fine"
        print(
            f"seed {seed}: {done.trials} trials in {done.virtual_s:.0f} virtual s, {each_ms:.2f} ms CPU each", end=", "
        )
        print(f"{done.findings} findings, {workers}, MiB at each tenth {rss}, {done.digest[:12]}: {says}", flush=True)
    if all_s := sorted(all_s):
        print(f"a finding is on disk after {all_s[len(all_s) // 2]:.4f} s, p99 {all_s[len(all_s) * 99 // 100]:.3f} s")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
