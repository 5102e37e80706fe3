"""A fleet looked at before anything runs there: who is there, who can run what a configuration asks, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from qstress.config.kvm import probe
from qstress.config.settings import FleetSettings, Settings
from qstress.errors import RigError
from qstress.host.facts import host_facts
from qstress.host.worker import WorkerFacts, unfit
from qstress.run.emulated import Place


@dataclass(frozen=True, slots=True)
class FleetSurvey:
    """What each worker said by its name, or, in words, why it said nothing; and how far its clock is from ours."""

    workers: Mapping[str, WorkerFacts | str]
    clock_off_s: Mapping[str, float]

    @property
    def looked_at(self) -> dict[str, WorkerFacts]:
        """The workers that could be asked."""
        return {name: told for name, told in self.workers.items() if isinstance(told, WorkerFacts)}

    @property
    def place(self) -> Place:
        """The fleet as a place for trials: KVM as its first worker has it, and the cores of all.

        :raises RigError: nobody could be asked.
        """
        looked_at = self.looked_at
        if not looked_at:
            why = "; ".join(f"{name}: {told}" for name, told in self.workers.items()) or "it has none"
            raise RigError(f"no worker of the fleet can be used: {why}", reason="no-worker")
        kvm = next(iter(looked_at.values())).doctor.kvm
        facts = {**host_facts(probe()), "kvm": asdict(kvm)}
        cores = sum(2 * max(1, worker.cores // 2) for worker in looked_at.values())
        return Place(kvm, cores, facts, workers=len(looked_at))

    def problems(self, settings: Settings) -> dict[str, list[str]]:
        """Return why each worker cannot run the trials of *settings*; an empty list: it can."""
        return {
            name: [told] if isinstance(told, str) else list(unfit(told, settings))
            for name, told in self.workers.items()
        }


def survey_fleet(fleet: FleetSettings, binaries: Sequence[str] = ()) -> FleetSurvey:
    """Ask every worker of *fleet* what it is.

    :param binaries: paths of QEMUs to look at there.
    :raises RigError: dask is not installed, or no scheduler answers.
    """
    import anyio

    from qstress.run.fleet import need_dask

    need_dask()
    from qstress.run.dask_fleet import look_at_all

    return FleetSurvey(*anyio.run(look_at_all, fleet, list(binaries)))


def fleet_text(found: FleetSurvey, settings: Settings) -> str:
    """Return *found* for people: a line a worker, with what is wrong there below it."""
    lines = []
    for name, problems in found.problems(settings).items():
        told = found.workers[name]
        if isinstance(told, WorkerFacts):
            kvm = told.doctor.kvm
            virtual = f"KVM {kvm.kind}, {'real' if kvm.smm else 'no'} SMM" if kvm.usable else "no KVM"
            clock = f"clock {found.clock_off_s[name]:+.1f} s"
            about = f"{told.host}, kernel {told.kernel}, {told.cores} cores, load {told.load:.1f}, {virtual}, {clock}"
        else:
            about = "cannot be asked"
        lines.append(f"{'no' if problems else 'ok':<4}  worker {name}: {about}")
        if isinstance(told, WorkerFacts) and not problems:
            lines += [f"{'':<6}{path}: sha256 {digest[:12]}" for path, digest in told.binaries.items()]
        lines += [f"{'':<6}-> {problem}" for problem in problems]
    return "\n".join(lines or ["no worker is there"])


def fleet_json(found: FleetSurvey, settings: Settings) -> dict[str, object]:
    """Return *found* as JSON-able values."""
    problems = found.problems(settings)
    workers = []
    for name, told in found.workers.items():
        facts = asdict(told) if isinstance(told, WorkerFacts) else {}
        workers.append({"name": name, "usable": not problems[name], "problems": problems[name], **facts})
    return {"can_run": bool(workers) and not any(problems.values()), "workers": workers}
