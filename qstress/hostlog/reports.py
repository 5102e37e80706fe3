"""Kernel log lines put together to whole reports (pure; time comes in with each line).

A report begins with the line that names its kind (and a rule or ``cut here`` before that), and ends where its kind
says, with the next report, in silence, or when it has become too long. Where the kernel says who prints
(CONFIG_PRINTK_CALLER), lines of others are kept out; where it does not, what comes in between stands in it as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.hostlog.kinds import KILLED, ReportKind, ReportRule, begins, report_title
from qstress.hostlog.records import LogLine

#: This long without a line ends a report.
SILENCE_S = 1.0
#: No report is longer: a kernel that chatters on must not keep one from being told.
MOST_LINES, MOST_S = 1000, 30.0
#: A panic, or a trap, this soon after a report is what came of it.
AFTER_S, _AFTER_LINES = 5.0, 100
#: A rule, and what may stand between it and the line that names the report (the text of a ``WARN()``).
_OPENING = re.compile(r"(?:={20,}|-+\[ cut here \]-+)$")
_MOST_OPENING = 8
_TASK = re.compile(
    r"\bPID: (\d+)|\bby task (?:\S+/)?(\d+)|, CPU#\d+: .*/(\d+)$|\[[^\[\]]+:(\d+)\]$|^INFO: task .+?:(\d+) |"
    r"^kvm\w* \[(\d+)\]:|^\S.*/(\d+) is trying to|\bpid:(\d+)"
)


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One report. ``at_s`` is when its first line came (monotonic), ``tasks`` are the thread ids that it names."""

    kind: ReportKind
    title: str
    at_s: float
    lines: tuple[str, ...]
    tasks: tuple[int, ...] = ()


@dataclass(slots=True)
class _Open:
    """A report under way."""

    rule: ReportRule
    at_s: float
    lines: list[str]
    first_us: int
    last_us: int = 0

    def add(self, line: LogLine) -> None:
        self.last_us = line.at_us
        self.lines.append(line.text)

    def ends_with(self, line: LogLine) -> bool:
        named_end = self.rule.end is not None and self.rule.end.match(line.text) is not None
        return named_end or len(self.lines) >= MOST_LINES

    def closed(self) -> KernelReport:
        name = report_title(self.rule, self.lines)
        tasks = tasks_in(self.lines, killed_only=self.rule.kind is ReportKind.OOM)
        return KernelReport(self.rule.kind, name, self.at_s, tuple(self.lines), tasks)


class ReportReader:
    """Puts lines together; one for the whole log."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        # what came before a report is named: when, and a rule or ``cut here`` with a few lines
        self._opening: dict[str, tuple[float, list[str]]] = {}
        self._told_us: int | None = None
        self._since = 0  # lines since a report was over

    @property
    def underway(self) -> bool:
        """Whether a report has begun and may go on."""
        return bool(self._open)

    def add(self, line: LogLine, at_s: float) -> list[KernelReport]:
        """Take in the next line, read at *at_s* (monotonic seconds); return the reports that are whole now."""
        self._since += 1
        over = self._silent(line) if self._open else []
        current = self._open.get(line.caller)
        if current is not None and current.ends_with(line):
            current.add(line)
            return over + self._close(line.caller)
        rule = begins(line.level, line.text)
        if rule is not None and not (rule.follows and self._is_told(rule, line, current)):
            return over + self._close(line.caller) + self._begin(rule, line, at_s)
        if _OPENING.match(line.text):
            self._opening[line.caller] = (at_s, [line.text])
            return over + self._close(line.caller)
        if current := current or next((each for each in self._open.values() if each.rule.gathers), None):
            current.add(line)
        elif line.caller in self._opening:
            _, lines = self._opening[line.caller]
            lines.append(line.text)
            if len(lines) > _MOST_OPENING:
                del self._opening[line.caller]
        return over

    def _is_told(self, rule: ReportRule, line: LogLine, current: _Open | None) -> bool:
        """Whether *line*, which *rule* begins with, is part of what a report tells: of a bug that is under way the
        trap, of any report that is under way or has just been made the panic.
        """
        if rule.kind is not ReportKind.PANIC:
            return current is not None and current.rule.kind is rule.kind
        if current is not None or any(each.rule.gathers for each in self._open.values()):
            return True
        soon = self._told_us is not None and 0 <= line.at_us - self._told_us < AFTER_S * 1e6
        return soon and self._since <= _AFTER_LINES

    def flush(self) -> list[KernelReport]:
        """Return the reports under way: nothing has come for :data:`SILENCE_S`, or nothing more will."""
        return [report for caller in list(self._open) for report in self._close(caller)]

    def _silent(self, line: LogLine) -> list[KernelReport]:
        callers = [
            caller for caller, each in self._open.items()
            if line.at_us - each.last_us >= SILENCE_S * 1e6 or line.at_us - each.first_us >= MOST_S * 1e6
        ]  # fmt: skip
        return [report for caller in callers for report in self._close(caller)]

    def _begin(self, rule: ReportRule, line: LogLine, at_s: float) -> list[KernelReport]:
        began_s, lines = self._opening.pop(line.caller, (at_s, []))
        begun = _Open(rule, began_s, lines, line.at_us)
        begun.add(line)
        self._open[line.caller] = begun
        return self._close(line.caller) if begun.ends_with(line) else []

    def _close(self, caller: str) -> list[KernelReport]:
        begun = self._open.pop(caller, None)
        if begun is None:
            return []
        self._told_us, self._since = begun.last_us, 0
        return [begun.closed()]


def tasks_in(lines: Sequence[str], *, killed_only: bool = False) -> tuple[int, ...]:
    """Return the thread ids that *lines* of a report name; *killed_only*: only whom the out-of-memory killer killed,
    for the others in its report are bystanders."""
    pattern = KILLED if killed_only else _TASK
    found = (next(filter(None, match.groups())) for line in lines for match in pattern.finditer(line))
    return tuple(dict.fromkeys(map(int, found)))
