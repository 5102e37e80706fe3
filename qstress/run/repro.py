"""A finding run again, as recorded: how often does it show?"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from qstress.config.binary import sha256_of
from qstress.errors import ConfigError, RigError
from qstress.host.sandbox import has_sandbox
from qstress.interposer import build as interposer
from qstress.model import Outcome, Trial, Verdict
from qstress.report.wording import rate
from qstress.store.evidence import read_finding
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, TrialContext
from qstress.trial.process_run import run_process


def run_again(evidence: Path, trials: int, form: str, *, say: Callable[[str], None]) -> tuple[str, int]:
    """Run the finding in folder *evidence* again, *trials* times.

    :param form: ``"text"`` or ``"json"``.
    :param say: told one line a trial.
    :returns: the result as text, and the exit code: 1 when it showed again, 0 when not, 5 when no trial was valid.
    :raises ConfigError: the folder holds no finding.
    :raises RigError: the QEMU it was found with is gone.
    """
    folder = evidence.parent if evidence.is_file() else evidence
    trial, found = read_finding(folder)
    if found.finding_class is None:
        raise ConfigError(f"{folder}: its finding has no class")
    _same_binary(trial, say)
    outcomes = anyio.run(_repeat, trial, found, trials, say)
    shown, valid = outcomes["shown"], outcomes["valid"]
    code = 5 if not valid else 1 if shown else 0
    if form == "json":
        return json.dumps({"class": found.finding_class, "shown": shown, "trials": valid, "exit_code": code}), code
    others = valid - shown - outcomes[Outcome.OK]
    also = f"; other findings: {others}" if others else ""
    invalid = f"; not counted: {trials - valid}" if trials > valid else ""
    return f"{found.finding_class}: {rate(shown, valid)}{also}{invalid}", code


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
