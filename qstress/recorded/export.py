"""A recorded run as a table for others to read: a row a trial, as CSV or as JSON Lines (docs/reference.md, "The columns
of an export")."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from qstress.firmware import tier_of
from qstress.model import LATENCY_BUCKETS_S, Host, Outcome, Trial, TrialResult, Verdict
from qstress.plan.schedule import Plan
from qstress.recorded.settings import settings_of
from qstress.report.wording import printable
from qstress.store.read import open_run

Row = dict[str, object]

_PLANNED = (
    "trial", "block", "finished", "build", "smp", "machine", "accel", "firmware", "tier", "hammer", "seed", "injected",
)  # fmt: skip
_SAID = ("outcome", "class", "signature", "title", "confidence", "rig_reason", "evidence")
_MEASURED = (
    "started_s", "duration_s", "boot_s", "detection_s", "duty_cycle", "commands", "returned", "errors", "timeouts",
    "lost", "due", "hammered_s", "reply_p50_s", "reply_p99_s",
)  # fmt: skip
_PLACED = ("host", "kernel")
COLUMNS = (*_PLANNED, *_SAID, *_MEASURED, *_PLACED)


def exported(path: Path, form: str) -> Iterator[str]:
    """Yield the run in folder *path* as lines, newlines at their ends.

    :param form: ``csv``, with a header and empty fields for what is not known, or ``jsonl``, with null for it.
    :raises ConfigError: it is not a run of this version, or it is damaged.
    """
    if form == "jsonl":
        yield from (json.dumps(dict(zip(COLUMNS, row.values(), strict=True))) + "\n" for row in trial_rows(path))
        return
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in trial_rows(path):
        yield line.getvalue()
        line.seek(0)
        line.truncate()
        writer.writerow("true" if value is True else "false" if value is False else value for value in row.values())
    yield line.getvalue()


def trial_rows(path: Path) -> Iterator[Row]:
    """Yield a row for each trial of finished blocks in the order in which they ran, its keys those of :data:`COLUMNS`;
    then one for each finding of a block that was never finished.

    :raises ConfigError: it is not a run of this version, or it is damaged.
    """
    with open_run(path) as record:
        settings = settings_of(record.run)
        plan = Plan(settings.builds, settings.strata, settings.seed)
        findings = record.findings()
        folders = {found.number: found.evidence for found in findings if found.counted}
        for results in record.results(plan.block):
            for result in results:
                said = _said(result.verdict, result.rig_reason, folders.get(result.trial.number))
                yield {**_planned(result.trial, finished=True), **said, **_measured(result), **_placed(result.host)}
        for found in findings:
            if not found.counted:
                (trial,) = [trial for trial in plan.block(found.block) if trial.number == found.number]
                said = _said(found.verdict, "", found.evidence)
                yield {**_planned(trial, finished=False), **said, **dict.fromkeys(_MEASURED), **_placed(found.host)}


def _planned(trial: Trial, *, finished: bool) -> Row:
    shape = trial.cell.stratum.shape
    values = (
        trial.number, trial.block, finished, trial.cell.build.name, shape.smp, shape.machine, shape.accel.value,
        shape.firmware, tier_of(trial.cell).value, trial.cell.stratum.hammer_label, trial.seed, trial.inject_lost_ap,
    )  # fmt: skip
    return dict(zip(_PLANNED, values, strict=True))


def _said(verdict: Verdict, rig_reason: str, evidence: str | None) -> Row:
    title = None if verdict.outcome is Outcome.OK else printable(verdict.title)
    values = (
        verdict.outcome.value, verdict.finding_class and verdict.finding_class.value, verdict.signature or None, title,
        verdict.confidence.value, rig_reason or None, evidence,
    )  # fmt: skip
    return dict(zip(_SAID, values, strict=True))


def _measured(result: TrialResult) -> Row:
    counts = result.commands
    values = (
        result.started_s, result.duration_s, result.boot_s, result.detection_s, result.duty_cycle,
        sum(count.total for count in counts), sum(count.returned for count in counts),
        sum(count.errors for count in counts), sum(count.timeouts for count in counts),
        sum(count.lost for count in counts), sum(count.due for count in counts),
        round(sum(count.hammered_s for count in counts), 6), _reply_s(result, 0.5), _reply_s(result, 0.99),
    )  # fmt: skip
    return dict(zip(_MEASURED, values, strict=True))


def _placed(host: Host | None) -> Row:
    return dict(zip(_PLACED, (host.name, host.kernel) if host else (None, None), strict=True))


def _reply_s(result: TrialResult, share: float) -> float | None:
    """Return the upper bound of the bucket that *share* of the replies are within; None without one, or beyond all."""
    within, replies = 0, sum(result.latencies)
    for bound_s, count in zip(LATENCY_BUCKETS_S, result.latencies, strict=False):
        within += count
        if replies and within >= share * replies:
            return bound_s
    return None
