"""``python -m tools.rejudge FOLDER…``: judge all journals in folders again; exit 1 where a verdict or a title differs.

``QSTRESS_JOURNALS=FOLDER`` has ``qstress soak`` and ``python -m tools.accuracy`` keep the journal of every trial.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from qstress.errors import ConfigError
from qstress.firmware import firmware_of
from qstress.run.rejudge import read_journal
from qstress.trial.journal import Rejudged


def kind_of(again: Rejudged) -> str:
    """Return what was recorded, in a few words, for a table."""
    verdict, shape = again.recorded, again.shape
    firmware = firmware_of(shape).name or "a ROM"
    return f"{verdict.finding_class or verdict.outcome}, {firmware}, {shape.accel}"


def rejudge(paths: Iterable[Path]) -> tuple[Counter[str], Counter[str], list[str]]:
    """Judge the journals *paths* again; return how many there are of each kind, how many are the same, and a line for
    each that differs or cannot be read."""
    there, same, complaints = Counter[str](), Counter[str](), list[str]()
    for path in paths:
        try:
            again = read_journal(path)
        except ConfigError as error:
            there["unreadable"] += 1
            complaints.append(str(error))
            continue
        kind = kind_of(again)
        there[kind] += 1
        if again.same:
            same[kind] += 1
            continue
        today = "no verdict" if again.today is None else again.today.title
        complaints.append(f"{path}: was {again.recorded.title!r}, is {today!r}")
    return there, same, complaints


def main() -> int:
    """Judge what the command line names, print a table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.rejudge", description=__doc__)
    parser.add_argument("folder", nargs="+", type=Path, help="searched for *.jsonl journals, whole runs too")
    folders = parser.parse_args().folder
    skipped = {"commands.jsonl", "events.jsonl"}
    paths = sorted(path for folder in folders for path in folder.rglob("*.jsonl") if path.name not in skipped)
    there, same, complaints = rejudge(paths)
    for kind in sorted(there):
        print(f"{same[kind]:6} of {there[kind]:6} the same: {kind}")
    print(f"{same.total():6} of {there.total():6} the same")
    print(*complaints, sep="\n", file=sys.stderr, end="\n" if complaints else "")
    return 1 if complaints or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
