"""The main job: settings in, a recorded run out. Wires campaign, trials, store, statistics and reports together.

Nothing here prints: who watches is told through a callback, the summary is returned.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from qstress import __version__
from qstress.config.binary import provenance
from qstress.config.kvm import KvmFacts
from qstress.config.settings import Settings, digest, resolved_document
from qstress.emulated.host import HostLost
from qstress.errors import INTERRUPTED_EXIT, ConfigError, RigError
from qstress.host.facts import host_facts
from qstress.hostlog.findings import HostFinding, LiveTrials, reports_text
from qstress.interposer import build as interposer
from qstress.metrics.snapshot import Progress, RunVerdict, Snapshot, snapshot
from qstress.model import Build, Evidence, Outcome, TrialResult
from qstress.observe.hostlog import KMSG, HostLog, HostLogs
from qstress.plan.schedule import Plan
from qstress.recorded.bug_reports import BUG_FILE, write_rates
from qstress.recorded.extend import is_extended, other_changes, run_extended
from qstress.recorded.history import last_good
from qstress.recorded.reports import files_of, printed, summary_of
from qstress.recorded.run import Recorded
from qstress.recorded.settings import settings_of
from qstress.recorded.totals import RunTotals
from qstress.report.gate import PastRun, answered
from qstress.report.repro import boot_repro_sh
from qstress.report.soak_bug import needs_qstress, soak_bug
from qstress.report.standing import Standing, standing
from qstress.report.story import finding_story
from qstress.report.summary import RunFacts
from qstress.report.timeline import of, svg
from qstress.run.campaign import Campaign, OnResult, Reason, StopRule
from qstress.run.emulated import Place
from qstress.run.fleet import Fleet, need_dask
from qstress.run.runner import SoakRunner
from qstress.stats.tally import Tally
from qstress.store.read import open_run
from qstress.store.write import EvidenceRules, RunStore, call_qstress

#: Where a run's folder keeps what the host's kernel complained of.
HOST_KERNEL_FILE = "host-kernel.txt"
#: Where it keeps the last words of an emulated host that was lost.
HOST_CONSOLE_FILE = "emulated-host-console.txt"


@dataclass(slots=True)
class Soak:
    """One soak, new or resumed; :meth:`run` does it. Everything a live panel shows can be read while it runs."""

    settings: Settings
    kvm: KvmFacts
    store: RunStore
    plan: Plan
    totals: RunTotals
    campaign: Campaign
    started: datetime
    host_log: HostLog | HostLogs
    extended: bool = False  # its stop rule was changed on the way
    past: PastRun | None = None  # the newest earlier run of the same configuration that passed, for the gate
    last_trial_s: float = 0.0  # Unix time; 0: none has ended yet
    ended_s: float = 0.0  # Unix time; 0: it runs
    place: Place | None = None  # where its trials run; None: here
    fleet: Fleet | None = None  # the workers that run its trials; None: this process does
    stopped_by: signal.Signals | None = None
    error: RigError | None = None
    open_findings: dict[int, tuple[TrialResult, str | None]] = field(default_factory=dict)  # of unfinished blocks
    lost_findings: list[tuple[TrialResult, str | None]] = field(default_factory=list)  # of blocks whose worker was lost

    @property
    def tally(self) -> Tally:
        """What the finished blocks add up to."""
        return self.totals.tally

    @property
    def standing(self) -> Standing:
        """Each candidate against the baseline, and the gate, as far as the tally goes."""
        complete = self.campaign.reason in (Reason.TRIALS, Reason.DURATION)
        return standing(self.settings, self.tally, complete=complete, past=self.past, extended=self.extended)

    async def run(self) -> int:
        """Run to the stop rule, a signal or an error; write the summary; return the exit code.

        A first SIGINT or SIGTERM lets the trials under way finish, a second one kills their guests. Neither keeps the
        summary from being written.
        """
        async with anyio.create_task_group() as listening:
            everything = anyio.CancelScope()
            listening.start_soon(self._obey_signals, everything)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.host_log.watch)
                    try:
                        with everything:
                            async with self._staffed():
                                await self.campaign.run()
                    except RigError as error:
                        self.error = error
                    tasks.cancel_scope.cancel()
            finally:
                self.campaign.reason = self.campaign.reason or Reason.INTERRUPTED
                self.ended_s = time.time()
                self.host_log.close()
            self._conclude()
            listening.cancel_scope.cancel()
        return self.exit_code

    def _conclude(self) -> None:
        uncounted = [*self.lost_findings, *self.open_findings.values()]
        for result, place in sorted(uncounted, key=lambda finding: finding[0].trial.number):
            self.tally.add_finding(result.verdict, result.trial.cell_index, place, counted=False, host=result.host)
        try:
            self._write_reports()
        except RigError as error:  # most likely the disk is still full
            self.error = self.error or error

    def _staffed(self) -> AbstractAsyncContextManager[None]:
        """Have the fleet, if there is one, staffed while it is entered."""
        if self.fleet is None:
            return nullcontext()
        from qstress.run.dask_fleet import staffed  # by those alone who use it

        return staffed(self.fleet, self.settings, self.store.run_id)

    def _write_reports(self) -> None:
        if self.host_findings:
            self.store.write_report(HOST_KERNEL_FILE, reports_text(self.host_findings))
        if isinstance(self.error, HostLost):
            self.store.write_report(HOST_CONSOLE_FILE, "\n".join([str(self.error), "", *self.error.console, ""]))
        recorded = self.recorded()
        self.store.write_summary(summary_of(recorded))
        self.totals.keep(self.store, at_once=True)
        for name, content in files_of(recorded).items():
            self.store.write_report(name, content)
        write_rates(recorded)

    def recorded(self) -> Recorded:
        """Return this run as its reports show it, as things stand."""
        run = json.loads((self.store.path / "run.json").read_bytes())
        return Recorded(
            self.store.path, run, self.settings, self.totals, self.facts(), self.standing, self.campaign.duration_s,
            self.host_log.document(),
        )  # fmt: skip

    @property
    def exit_code(self) -> int:
        """The exit code as things stand (docs/reference.md, "Exit codes")."""
        if self.error is not None:
            return 4
        if self.stopped_by is not None:
            return INTERRUPTED_EXIT[self.stopped_by]
        code = self.standing.exit_code
        judged = self.settings.gate is not None or self.settings.compare is not None
        return 1 if code == 0 and self.host_findings and not judged else code

    @property
    def host_findings(self) -> list[HostFinding]:
        """What the host's kernel complained of during this run."""
        return self.host_log.reported

    def facts(self) -> RunFacts:
        """Return what the reports say of this run beside its numbers."""
        reason = self.campaign.reason
        return RunFacts(
            run=self.store.run_id,
            folder=os.path.relpath(self.store.path),
            name=self.settings.name,
            started=self.started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds") if reason else None,
            reason=(reason or Reason.INTERRUPTED).value,
            exit_code=self.exit_code,
            host=self.place.facts if self.place else host_facts(self.kvm),
            lanes=self.settings.lanes,
            kvm=self.kvm.kind,
            nested=self.kvm.nested,
            fleet=self.fleet.document() if self.fleet else {},
        )

    def summary(self) -> dict[str, object]:
        """Return the content of ``summary.json`` as things stand."""
        return summary_of(self.recorded())

    def text(self, *, colour: bool = False) -> str:
        """Return the summary for a person; *colour*: as ANSI terminals have it."""
        said = printed(self.recorded(), "text", colour=colour)
        hosts = [("", self.settings.host)] if self.settings.host else self.settings.hosts
        where = "".join(f"; {name} {each.wording}".replace("  ", " ") for name, each in hosts)
        return f"{said.rstrip()}{where}\n" if where else said

    def measured(self) -> Snapshot:
        """Return what the metrics show of this run as things stand."""
        progress = Progress(
            run=self.store.run_id,
            kvm=self.kvm.kind,
            nested=self.kvm.nested,
            running=self.campaign.running,
            started_s=self.started.timestamp(),
            last_trial_s=self.last_trial_s,
            ended_s=self.ended_s,
            verdict=RunVerdict.of(self.exit_code) if self.ended_s else RunVerdict.RUNNING,
            rig_reason=self.error.reason if self.error else "",
            extended=self.extended,
            emulated=self.settings.host is not None or bool(self.settings.hosts),
        )
        return snapshot(self.settings, self.tally, progress)

    async def _obey_signals(self, everything: anyio.CancelScope) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # nobody else may receive one: signal(7)'s handlers are Python's main thread's
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self.ended_s:
                    continue  # it is being summed up
                if self.stopped_by is None:
                    self.stopped_by = number
                    self.campaign.drain(Reason.INTERRUPTED)
                else:
                    everything.cancel()  # and go on listening: a third signal must not break the clean-up


def start(
    settings: Settings, kvm: KvmFacts, *, stack: ExitStack, on_result: OnResult, place: Place | None = None
) -> Soak:
    """Make the folder of a new run and everything that is needed to run it.

    :param place: where its trials run, if not here.
    :param stack: closes the run's files when it is left.
    :raises RigError: the host cannot do it (no compiler for the interposer, no dask for workers, the runs folder cannot
        be written).
    """
    _need(settings)
    started = datetime.now(UTC)
    host = place.facts if place else host_facts(kvm)
    run = {
        "qstress": __version__,
        "config": resolved_document(settings),
        "sha256": digest(settings),
        "host": host,
        "builds": {build.name: _provenance(build) for build in settings.builds},
    }
    store = RunStore.create(
        settings.runs_dir, settings.name, run, now=started, token=secrets.token_hex(3), rules=_rules(settings, host)
    )
    return _wire(settings, kvm, stack.enter_context(store), started, on_result, place)


def resume(
    settings: Settings, kvm: KvmFacts, *, run: Path, stack: ExitStack, on_result: OnResult, place: Place | None = None
) -> Soak:
    """Go on with a run, whether it was killed, interrupted or came to its end: finished blocks count, the open one is
    run again. Its stop rule becomes that of *settings*.

    :raises ConfigError: it is not a run, another process writes it, or anything but ``stop`` has changed.
    """
    _need(settings)
    with open_run(run) as record:
        before = settings_of(record.run)
        if changed := other_changes(before, settings):
            raise ConfigError(f"{run}: changed since: {', '.join(changed)}; stop alone can: start a new run instead")
        host = place.facts if place else host_facts(kvm)
        store = stack.enter_context(RunStore.reopen(run, rules=_rules(settings, host)))
        longer = run_extended(record.run, before, settings) if digest(before) != digest(settings) else record.run
        if longer is not record.run:
            store.write_run(longer)
        soak = _wire(settings, kvm, store, datetime.fromisoformat(str(record.run["started"])), on_result, place)
        soak.extended = is_extended(longer)
        soak.totals.restore(record, soak.plan)
        soak.campaign.first_block = record.next_block()
        soak.campaign.elapsed_s = record.duration_s()
    return soak


def _in_fleet(settings: Settings) -> bool:
    return settings.fleet is not None or settings.workers > 1


def _need(settings: Settings) -> None:
    if _in_fleet(settings):
        need_dask()


def _provenance(build: Build) -> dict[str, object]:
    made = provenance(Path(build.binary), build.sha256)  # where qstress build made it
    return {"version": build.version, "sha256": build.sha256, **({"provenance": made} if made else {})}


def repro_script(result: TrialResult, evidence: Evidence) -> str:
    """Return ``repro.sh`` of a finding."""
    if needs_qstress(result):
        return call_qstress(result, evidence)
    source = interposer.SOURCE.read_text() if result.trial.cell.build.interposed else None
    return boot_repro_sh(
        result.trial,
        evidence.argv,
        evidence.env,
        source,
        found=result.verdict.title,
        kernel=platform.release(),
        hangs=result.verdict.outcome in (Outcome.HANG, Outcome.RESTART),
    )


def evidence_texts(result: TrialResult, evidence: Evidence, *, host: Mapping[str, Any]) -> dict[str, str]:
    """Return what a person reads first in an evidence folder: the story in a screen, the picture, and the report for
    QEMU's maintainers.

    :param host: what ``run.json`` says of the host that guests run on, or of all of them.
    """
    host = host.get("hosts", {}).get(result.trial.cell.build.name, host)
    report = soak_bug(
        result, evidence, script=repro_script(result, evidence), host=host,
        interposed=result.trial.cell.build.interposed, alone=not needs_qstress(result),
    )  # fmt: skip
    return {
        "story.txt": finding_story(result, evidence), "timeline.svg": svg(of(result, evidence)), BUG_FILE: report
    }  # fmt: skip


def _rules(settings: Settings, host: Mapping[str, Any]) -> EvidenceRules:
    return EvidenceRules(repro_script, partial(evidence_texts, host=host), max_bytes=settings.record_max_bytes)


def _kernel_log(place: Place | None) -> HostLog | HostLogs:
    if place is None or not place.hosts:
        return HostLog(lambda finding: None, place.kernel_log if place else KMSG)
    return HostLogs({
        name: HostLog(lambda finding: None, each.kernel_log, name) for name, each in place.hosts.items()
    })  # fmt: skip


def _wire(
    settings: Settings, kvm: KvmFacts, store: RunStore, started: datetime, on_result: OnResult, place: Place | None
) -> Soak:
    plan = Plan(settings.builds, settings.strata, settings.seed)
    totals = RunTotals(settings, plan)
    tally = totals.tally
    open_findings: dict[int, tuple[TrialResult, str | None]] = {}

    def finished(result: TrialResult, place: str | None) -> None:
        if result.verdict.outcome.finding:
            open_findings[result.trial.number] = (result, place)
        soak.last_trial_s = time.time()
        on_result(result, place)

    def lost(results: Sequence[TrialResult]) -> None:
        numbers = [result.trial.number for result in results]
        soak.lost_findings += [open_findings.pop(n) for n in numbers if n in open_findings]

    def counted(results: Sequence[TrialResult]) -> None:
        numbers = [result.trial.number for result in results]
        totals.add_block(results, {n: open_findings.pop(n)[1] for n in numbers if n in open_findings})
        totals.keep(store)

    stop = StopRule(
        blocks=settings.stop_trials // plan.block_trials if settings.stop_trials else None,
        duration_s=settings.stop_duration_s,
        decided=lambda: settings.stop_decided and answered(tally, settings.compare, settings.gate),
    )
    host_log = _kernel_log(place)
    fleet = Fleet() if _in_fleet(settings) else None
    live_trials = LiveTrials() if settings.fleet else host_log.live_trials  # it is the log of this host
    elsewhere = fleet.run_process if fleet else place.run_process if place else None
    host_of = fleet.host_of if fleet else lambda lane: None
    runner = SoakRunner(settings, store, tally.add_kicks, live_trials, elsewhere, host_of)
    campaign = Campaign(plan, runner, store, stop, settings.lanes, finished, counted, lost)
    if fleet is not None:
        campaign.place, campaign.places = fleet.block, settings.workers
    soak = Soak(
        settings, kvm, store, plan, totals, campaign, started, host_log, open_findings=open_findings, place=place,
        fleet=fleet,
    )  # fmt: skip
    soak.past = last_good(settings, store.path.parent, store.run_id)
    return soak
