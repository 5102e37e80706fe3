"""``qstress compare``: the statistics of recorded runs again, of one as they are, of two side by side."""

from __future__ import annotations

import json
from pathlib import Path

from qstress.errors import ConfigError
from qstress.recorded.run import open_recorded
from qstress.report.across import Side, across_document, across_text, compared, obstacles


def compare_runs(first: Path, second: Path, form: str, *, force: bool) -> str:
    """Return what two recorded runs say of each other.

    :param form: ``text`` or ``json``.
    :param force: compare what is not comparable, too, and say so.
    :raises ConfigError: they are not runs, there is nothing to compare, or they are not comparable and *force* is not
        given; the text names every reason.
    """
    a, b = _side(first), _side(second)
    reasons = obstacles(a, b)
    if reasons and not force:
        why = "\n".join(f"  {reason}" for reason in reasons)
        raise ConfigError(f"these runs cannot be compared (--force does it nevertheless):\n{why}")
    found = compared(a, b)
    if form == "json":
        return json.dumps(across_document(a, b, found, reasons), indent=1) + "\n"
    return across_text(a, b, found, reasons)


def _side(path: Path) -> Side:
    run = open_recorded(path)
    return Side(run.facts.run, run.settings, run.facts.host, run.totals.tally)
