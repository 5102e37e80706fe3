"""A recorded run put together again: the same tally, comparisons and gate as when it ended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstress.config.settings import Settings
from qstress.errors import ConfigError
from qstress.plan.schedule import Plan
from qstress.recorded.extend import is_extended
from qstress.recorded.history import last_good
from qstress.recorded.settings import settings_of
from qstress.recorded.totals import RunTotals
from qstress.report.standing import Standing, standing
from qstress.report.summary import RunFacts
from qstress.store.read import open_run, reason_of


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded run: what was asked for, what it adds up to and where that leaves it.

    ``run`` is the content of ``run.json``. A run that has not ended says so in ``facts``: it has no ``finished``, its
    reason is ``running`` or ``killed``, its exit code what it would be if it ended now.
    """

    path: Path
    run: Mapping[str, Any]
    settings: Settings
    totals: RunTotals
    facts: RunFacts
    standing: Standing
    duration_s: float  # of all its sessions together
    host_log: Mapping[str, Any]  # of summary.json: what the host's kernel complained of; empty where nobody knows


def open_recorded(path: Path) -> Recorded:
    """Read the run in folder *path*.

    :raises ConfigError: it is not a run of this version, or it is damaged.
    """
    with open_run(path) as record:
        settings = settings_of(record.run)
        plan = Plan(settings.builds, settings.strata, settings.seed)
        totals = RunTotals(settings, plan)
        totals.restore(record, plan)
        run: Any = record.run
        duration_s = record.duration_s()
        reason, ended = reason_of(record), record.ended_because() is not None
        summary: Any = record.summary if ended and record.summary else {}
    past = last_good(settings, path.resolve().parent, path.resolve().name)
    now = standing(
        settings, totals.tally, complete=reason in ("trials", "duration"), past=past, extended=is_extended(run)
    )
    try:
        facts = RunFacts(
            run=path.resolve().name,
            folder=os.path.relpath(path),
            name=settings.name,
            started=run["started"],
            finished=summary.get("finished"),
            reason=reason,
            exit_code=summary.get("exit_code", now.exit_code),
            host=summary.get("host", run["host"]),
            lanes=settings.lanes,
            kvm=run["host"]["kvm"]["kind"],
            nested=run["host"]["kvm"]["nested"],
            fleet=summary.get("fleet", {}),
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}/run.json: it does not describe its host: {error!r}") from error
    return Recorded(path, run, settings, totals, facts, now, duration_s, summary.get("host_log", {}))
