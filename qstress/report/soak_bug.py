"""A soak's finding as a ``bug.md`` (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qstress.firmware import firmware_of
from qstress.model import Evidence, FindingClass, Outcome, TrialResult
from qstress.report.bug_report import BugReport, bug_text, code_block, not_as_in_production
from qstress.report.bugs import Bug
from qstress.report.story import conditions, is_not, told
from qstress.report.wording import printable, rate, shape_text
from qstress.stats.tally import Tally

_UP = "all vCPUs come up, and the firmware goes on to boot"
_EXPECTED = {
    FindingClass.CRASH: "QEMU goes on",
    FindingClass.MONITOR_STALL: "the monitor answers",
    FindingClass.REPLAYED_INIT: "each AP runs the firmware's reset path once for each INIT that it is sent",
    FindingClass.GUEST_PANIC: "the guest does not panic",
    FindingClass.MISSING_CPU: "the guest's kernel brings all of its vCPUs online",
    FindingClass.RESET_LOOP: "the guest comes up and does not reset itself for ever",
}
_NEEDS_QSTRESS = (
    "Only qstress reads this firmware's console, or draws these commands: `qstress repro FOLDER` runs the evidence "
    "again and says k/n. `firmware: seabios` and plain commands make a report that stands alone."
)
_SCRIPT = (
    "`sh repro.sh 100` boots the guest a hundred times, each time in a new QEMU, and sends the monitor commands until "
    "all vCPUs are up. `QEMU=/path/to/qemu sh repro.sh 100` does that to another QEMU."
)
#: What ``repro.sh`` calls a boot that ended so.
_ENDS = {
    Outcome.CRASH: "QEMU died",
    Outcome.MONITOR_STALL: "monitor silent",
    Outcome.RESTART: "restarted",
}


def soak_bug(
    result: TrialResult, evidence: Evidence, *, script: str, host: Mapping[str, Any], interposed: bool, alone: bool
) -> str:
    """Return the ``bug.md`` of a finding that has just been made: how often it shows is not known yet.

    :param script: its ``repro.sh``.
    :param host: what ``run.json`` says of the host that guests run on.
    :param interposed: whether *script* builds the interposer.
    :param alone: whether *script* needs no qstress.
    """
    trial, verdict = result.trial, result.verdict
    build, shape = trial.cell.build, trial.cell.stratum.shape
    hammers = trial.cell.stratum.hammer_label
    found = (
        f"{shape.smp} vCPUs boot {shape.firmware} while a monitor is sent: {hammers}. "
        f"Then: {verdict.title} ({verdict.finding_class or verdict.outcome}, {verdict.confidence})."
    )
    said = [line for line in evidence.stderr.splitlines() if "warning:" not in line][-3:]
    return bug_text(
        BugReport(
            title=verdict.title,
            host=host,
            version=build.version,
            sha256=build.sha256,
            command=evidence.argv or (build.binary,),
            guest=f"none: the fault shows in its firmware ({shape.firmware})",
            description=[
                printable(found),
                *(["QEMU said:", code_block("\n".join(map(printable, said)))] if said else []),
                *not_as_in_production([*conditions(trial), *_environment(build.env)]),
            ],
            expected=_EXPECTED.get(verdict.finding_class, _UP) if verdict.finding_class else _UP,
            often=f"seen in trial {trial.number} of a run that had not ended yet",
            steps=_steps(verdict.outcome, verdict.finding_class, interposed=interposed, alone=alone),
            script=script if alone else "",
            because=list(told(verdict.because)),
            is_not=list(is_not(result, evidence)),
            stacks=evidence.stacks,
        )
    )


def how_often(bug: Bug, tally: Tally) -> str:
    """Return the rate of *bug* in each cell that showed it, in one line: ``31/248 (8.6-17.3 %) of boots with …``."""
    rates = []
    for found in tally.cells:
        count = sum(each.count - each.uncounted for each in bug.findings if each.cell == found.cell)
        if count:
            index = tally.dispersion([found], [bug.finding_class])
            shape = f"{shape_text(found.cell)}, QEMU {found.cell.build.version}"
            rates.append(f"{rate(count, found.n, dispersion=index)} of boots with {shape}")
    open_ = f"{bug.uncounted} more in blocks that were not finished" if bug.uncounted else ""
    return "; ".join(filter(None, [*rates, open_])) + " (k/n with exact 95 % limits)"


def _steps(outcome: Outcome, finding_class: FindingClass | None, *, interposed: bool, alone: bool) -> list[str]:
    if not alone:
        return [_NEEDS_QSTRESS]
    packages = "python3, qemu-system-x86" + (", gcc, libc6-dev" if interposed else "")
    end = _ENDS.get(outcome, f"hung ({FindingClass.LOST_INIT if finding_class is FindingClass.LOST_INIT else 'other'})")
    return [
        f"Save the script at the end of this report as `repro.sh`. It needs a shell and, from Debian, {packages}.",
        _SCRIPT,
        f"It prints a line a boot. `{end}` is this bug; the last line counts.",
    ]


def _environment(env: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"QEMU's environment has {name}={value}" for name, value in env if not re.match(r"QSTRESS_\w+_FD", name)]


def needs_qstress(result: TrialResult) -> bool:
    """Whether no script of a page can run a finding again: only qstress reads this console, draws such commands and
    moves threads."""
    stratum = result.trial.cell.stratum
    return firmware_of(stratum.shape).lines is None or stratum.stormy
