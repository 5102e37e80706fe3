"""A finding run again, as recorded: how often does it show?"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from qstress.config.binary import find_binary, qemu_version, sha256_of
from qstress.errors import ConfigError, RigError
from qstress.host.sandbox import has_sandbox
from qstress.interposer import build as interposer
from qstress.model import Outcome, Trial, Verdict
from qstress.report.wording import rate
from qstress.store.evidence import read_finding
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, TrialContext
from qstress.trial.process_run import run_process


def run_again(
    evidence: Path, trials: int, form: str, *, say: Callable[[str], None], binary: str | None = None
) -> tuple[str, int]:
    """Run the finding in folder *evidence* again, *trials* times.

    :param form: ``"text"`` or ``"json"``.
    :param say: told one line a trial.
    :param binary: another QEMU to run it on, a path or a name on ``PATH``; None: that which it was found with.
    :returns: the result as text, and the exit code: 1 when it showed again, 0 when not, 5 when no trial was valid.
    :raises ConfigError: the folder holds no finding.
    :raises RigError: the QEMU is not there, or is no QEMU.
    """
    folder = evidence.parent if evidence.is_file() else evidence
    trial, found, _ = read_finding(folder)
    if found.finding_class is None:
        raise ConfigError(f"{folder}: its finding has no class")
    if binary is None:
        _same_binary(trial, say)
    else:
        trial = _on(trial, binary)
    build = trial.cell.build
    outcomes = anyio.run(_repeat, trial, found, trials, say)
    shown, valid = outcomes["shown"], outcomes["valid"]
    code = 5 if not valid else 1 if shown else 0
    if form == "json":
        said = {"class": found.finding_class, "shown": shown, "trials": valid, "exit_code": code}
        other = {} if binary is None else {"binary": build.binary, "version": build.version}
        return json.dumps({**said, **other}), code
    others = valid - shown - outcomes[Outcome.OK]
    also = f"; other findings: {others}" if others else ""
    invalid = f"; not counted: {trials - valid}" if trials > valid else ""
    on = "" if binary is None else f" on QEMU {build.version} ({build.binary})"
    return f"{found.finding_class}: {rate(shown, valid)}{on}{also}{invalid}", code


def _on(trial: Trial, binary: str) -> Trial:
    """Return *trial* with another QEMU, its arguments, environment and interposer as they were.

    :raises RigError: it is not there, or is no QEMU.
    """
    build = trial.cell.build
    path = find_binary(binary, Path.cwd())
    other = replace(build, binary=str(path), version=qemu_version(path, dict(build.env)), sha256=sha256_of(path))
    return replace(trial, cell=replace(trial.cell, build=other))


def _same_binary(trial: Trial, say: Callable[[str], None]) -> None:
    build = trial.cell.build
    if not os.access(build.binary, os.X_OK):
        raise RigError(
            f"{build.binary}: the QEMU that this was found with is not there any more", reason="qemu-missing"
        )
    if sha256_of(Path(build.binary)) != build.sha256:
        say(f"warning: {build.binary} is another binary than the one this was found with (sha256 differs)")


async def _repeat(trial: Trial, found: Verdict, trials: int, say: Callable[[str], None]) -> Counter[str]:
    env = interposer.environment(trial.cell.build)
    context = TrialContext(env=env, sandbox=has_sandbox(trial.cell.build), evidence=EvidenceQuota(0))
    outcomes: Counter[str] = Counter()

    class Counting(Coordinator):
        def take(self, finished: Sequence[FinishedTrial]) -> bool:
            for each in finished:
                verdict = each.result.verdict
                outcomes[verdict.outcome] += 1
                outcomes["valid"] += verdict.outcome.counted
                outcomes["shown"] += verdict.finding_class is found.finding_class and verdict.outcome.finding
                say(f"trial {each.result.trial.number + 1}/{trials}: {verdict.outcome}: {verdict.title}")
            return True

    again = [replace(trial, number=number, seed=trial.seed + number) for number in range(trials)]
    await run_process(again, context, Counting())
    return outcomes
