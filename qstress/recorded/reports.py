"""A recorded run written down: every form of its report, from the same values."""

from __future__ import annotations

import json
from pathlib import Path

from qstress.config.settings import Settings
from qstress.plan.schedule import Plan
from qstress.recorded.run import Recorded
from qstress.recorded.totals import RunTotals
from qstress.report.bugs import bugs
from qstress.report.cases import Case, cases
from qstress.report.github import error_lines, step_summary
from qstress.report.html.findings import LOOKED_THROUGH
from qstress.report.html.page import page
from qstress.report.html.run import Shown
from qstress.report.junit import junit
from qstress.report.standing import standing
from qstress.report.summary import RunFacts, summary
from qstress.report.tap import tap
from qstress.report.text import run_text
from qstress.store.files import replace_file, store_errors


def summary_of(run: Recorded) -> dict[str, object]:
    """Return the content of ``summary.json``."""
    content = summary(run.facts, run.totals.tally, run.standing.comparisons)
    return {**content, "host_log": run.host_log} if run.host_log else content


def cases_of(run: Recorded) -> list[Case]:
    """Return the cases that ``junit.xml`` and TAP tell of."""
    return cases(run.facts, run.totals.tally, run.standing)


def cases_planned(settings: Settings) -> list[Case]:
    """Return the cases that a run of *settings* will have, as they stand before its first trial."""
    tally = RunTotals(settings, Plan(settings.builds, settings.strata, settings.seed)).tally
    facts = RunFacts("", "", settings.name, "", None, "running", 0, {}, settings.lanes)
    return cases(facts, tally, standing(settings, tally, complete=False))


def files_of(run: Recorded) -> dict[str, str]:
    """Return the reports that lie in the run's folder, by their names."""
    return {
        "report.html": page(_shown(run)),
        "junit.xml": junit(run.facts, cases_of(run), run.duration_s),
    }


def write_files(run: Recorded) -> list[Path]:
    """Write the reports of *run* into its folder again; return where they are.

    :raises RigError: the host refuses; the earlier files stay.
    """
    written = []
    for name, content in files_of(run).items():
        path = run.path / name
        with store_errors(path):
            replace_file(path, content.encode())
        written.append(path)
    return written


def printed(run: Recorded, form: str, *, colour: bool = False) -> str:
    """Return what a command prints of *run*.

    :param form: ``text``, ``json``, ``tap``, or ``github``: the text and then the errors that GitHub shows at the
        commit.
    :param colour: as ANSI terminals have it.
    """
    facts, tally, standing = run.facts, run.totals.tally, run.standing
    if form == "json":
        return json.dumps(summary_of(run), indent=1) + "\n"
    if form == "tap":
        return tap(cases_of(run))
    lines = error_lines(facts, tally, standing) if form == "github" else []
    return run_text(facts, tally, standing.comparisons, standing.gate, host_log=run.host_log, colour=colour) + "".join(
        f"{line}\n" for line in lines
    )


def add_step_summary(run: Recorded, path: Path) -> None:
    """Append *run* to the job's summary in the file *path*, as GitHub asks it of a step (``GITHUB_STEP_SUMMARY``).

    :raises RigError: the host refuses.
    """
    with store_errors(path), path.open("a") as file:
        file.write(step_summary(run.facts, run.totals.tally, run.standing))


def _shown(run: Recorded) -> Shown:
    looked_at = [folder for bug in bugs(run.totals.tally.findings) for folder in bug.evidence[:LOOKED_THROUGH]]
    return Shown(
        facts=run.facts,
        settings=run.settings,
        tally=run.totals.tally,
        trace=run.totals.trace,
        standing=run.standing,
        builds=run.run.get("builds", {}),
        duration_s=run.duration_s,
        host_log=run.host_log,
        pictures=_read(run.path, looked_at, "timeline.svg"),
        stories=_read(run.path, looked_at, "story.txt"),
    )


def _read(path: Path, folders: list[str], name: str) -> dict[str, str]:
    """Return the file *name* of each folder that has one; older evidence has none."""
    found = {}
    for folder in folders:
        try:
            found[folder] = (path / folder / name).read_text(errors="replace")
        except OSError:
            continue
    return found
