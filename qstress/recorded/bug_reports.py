"""The ``bug.md`` of a run's findings: each says how often its bug was seen once the run knows."""

from __future__ import annotations

from pathlib import Path

from qstress.errors import ConfigError
from qstress.recorded.run import Recorded
from qstress.report.bug_report import with_rate
from qstress.report.bugs import Bug, bugs
from qstress.report.soak_bug import how_often
from qstress.store.files import replace_file, store_errors

#: A finding as a report that QEMU's maintainers take, in its evidence.
BUG_FILE = "bug.md"


def write_rates(run: Recorded) -> None:
    """Let each ``bug.md`` that was kept say how often its bug was seen in the run as it stands.

    :raises RigError: the host refuses.
    """
    for bug in bugs(run.totals.tally.findings):
        for path in (run.path / folder / BUG_FILE for folder in bug.evidence):
            with store_errors(path):
                if path.exists():  # evidence of earlier versions has none
                    replace_file(path, _with_rate(path, bug, run).encode())


def printed_bug(run: Recorded, number: int) -> str:
    """Return the report of bug *number* of a run, counted from 1 as ``qstress report`` lists them.

    :raises ConfigError: there is no such bug, or nothing of it was kept.
    """
    found = bugs(run.totals.tally.findings)
    if not 1 <= number <= len(found):
        raise ConfigError(f"{run.path}: --bug {number}: this run has {len(found)} bugs")
    bug = found[number - 1]
    for path in (run.path / folder / BUG_FILE for folder in bug.evidence):
        if path.exists():
            return _with_rate(path, bug, run)
    raise ConfigError(f"{run.path}: of bug {number} ({bug.title}) no {BUG_FILE} was kept")


def _with_rate(path: Path, bug: Bug, run: Recorded) -> str:
    return with_rate(path.read_text(), how_often(bug, run.totals.tally))
