"""Recorded runs as a table."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.report.wording import printable
from qstress.store.read import RunEntry

#: What the document says of a run beside its name and its folder: attributes of :class:`RunEntry`.
_KEYS = (
    "kind", "name", "started", "finished", "reason", "exit_code", "trials", "hangs", "findings", "decisions",
)  # fmt: skip


def listing_text(runs: Sequence[RunEntry]) -> str:
    """Return *runs* as lines, numbers to the right; one line where there are none. A session's trials are guests."""
    if not runs:
        return "no recorded runs\n"
    rows = [("run", "kind", "finished", "reason", "exit", "trials", "hangs", "decision")]
    for run in runs:
        code, result = "" if run.exit_code is None else str(run.exit_code), ", ".join(run.decisions)
        hangs = f"{run.hangs:,}" if run.findings is None else ""
        result = result if run.findings is None else f"{run.findings} finding{'' if run.findings == 1 else 's'}"
        names = (printable(run.run_id), run.kind, run.finished or "", run.reason)
        rows.append((*names, code, f"{run.trials:,}", hangs, result))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join(f"{_line(row, widths)}\n" for row in rows)


def listing_document(runs: Sequence[RunEntry]) -> list[dict[str, object]]:
    """Return *runs* as JSON-able values."""
    return [
        {
            "run": run.run_id,
            **{key: getattr(run, key) for key in _KEYS},
            "path": str(run.path),
        }
        for run in runs
    ]


def _line(row: tuple[str, ...], widths: Sequence[int]) -> str:
    numbers = range(4, 7)
    cells = [
        word.rjust(width) if column in numbers else word.ljust(width)
        for column, (word, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
