"""The host kernel's log of a run in a few lines for a person, from what ``summary.json`` keeps of it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def kernel_log_lines(log: Mapping[str, Any]) -> list[str]:
    """Return what the kernel complained of, and what may have been missed; never empty.

    :param log: the content of ``host_log`` in ``summary.json`` (:meth:`qstress.observe.hostlog.HostLog.document`).
    """
    lines, found = [], log["reports"]
    if log["problem"]:
        how = "READ IN PART ONLY" if log["records"] else "NOT READ"
        lines.append(f"HOST KERNEL LOG {how}: {log['problem']}: what the kernel complained of may have gone unseen")
    else:
        said = f"{len(found)} complaint(s)" if found else "quiet"
        lines.append(f"host kernel log: {said}, {log['records']} records")
    if log["lost"] or log["torn"]:
        lost = f"{log['lost']} records lost ({log['overruns']} overruns), {log['torn']} torn"
        lines.append(f"host kernel log: {lost}: a report may have been missed")
    lines += [f"  note: {note}" for note in log.get("notes", ())]  # none in summaries of before
    return lines + [f"  {_where(each)}{each['count']}x {each['title']} ({each['confidence']})" for each in found]


def _where(report: Mapping[str, Any]) -> str:
    return f"{report['host']}: " if "host" in report else ""


def is_loud(log: Mapping[str, Any]) -> bool:
    """Whether a reader must know of it before anything else: the kernel complained, or nobody could listen."""
    return bool(log["problem"] or log["reports"])
