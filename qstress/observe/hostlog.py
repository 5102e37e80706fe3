"""The host kernel's log, read as it is written: a witness for what no guest shows.

Read from the end on, so what was there before the run is not ours. One record a ``read()``; an overrun shows as EPIPE,
once, and as a gap in the sequence numbers (Documentation/ABI/testing/dev-kmsg). A flood is read in small bites between
which everything else has its turn.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from qstress.hostlog.findings import HostFinding, HostFindings, LiveTrials, blame_for
from qstress.hostlog.kinds import is_advice
from qstress.hostlog.records import KmsgReader, LogLine
from qstress.hostlog.reports import SILENCE_S, KernelReport, ReportReader, tasks_in
from qstress.observe.usage import numbers_of

KMSG = Path("/dev/kmsg")
#: So many lines of KVM's advice are kept.
MOST_NOTES = 20
_KMSG_DEVICE = os.makedev(1, 11)
_RECORD_BYTES = 16 * 1024  # more than the longest record: a smaller buffer would be refused
_BITE = 64  # records between two turns of the event loop, about half a millisecond
_LAST_BITES = 64  # at the end of a run: nobody can keep us there by writing on


class HostLog:
    """The witness of one run: open it before the first trial, :meth:`watch` while the run lasts, then :meth:`close`.

    ``live_trials`` has to be told which trials are alive. ``problem`` says why the log cannot be read, empty if it can.
    ``notes`` is what KVM advised, each once, at most :data:`MOST_NOTES`. ``overruns`` counts how often the kernel was
    faster than we. *on_report* gets each report's finding as it comes, with the name of the *host*, of several.
    """

    def __init__(self, on_report: Callable[[HostFinding], None], path: Path = KMSG, host: str = "") -> None:
        self.live_trials = LiveTrials()
        self.findings = HostFindings(host)
        self.records = KmsgReader()
        self.notes: dict[str, None] = {}
        self.overruns = 0
        self.problem = ""
        self._on_report = on_report
        self._reports = ReportReader()
        self._owners: dict[int, int] = {}  # process by thread, looked up while that is alive; else it is its own
        self._ended = False
        self._fd = self._open(path)

    @property
    def reported(self) -> list[HostFinding]:
        """What the kernel complained of."""
        return list(self.findings.by_title.values())

    async def watch(self) -> None:
        """Read until cancelled, or until the log ends."""
        while self._fd >= 0 and not self._ended:
            with anyio.move_on_after(SILENCE_S if self._reports.underway else None) as silence:
                await anyio.wait_readable(self._fd)
            if silence.cancelled_caught:
                self._take(self._reports.flush())
            began_s, first_us = time.monotonic(), None
            while (lines := self._bite()) is not None:
                for line in lines:  # what comes late in a flood is no younger for the time that reading takes
                    first_us = first_us or line.at_us
                    self._add(line, min(time.monotonic(), began_s + (line.at_us - first_us) / 1e6))
                await checkpoint()

    def read(self) -> None:
        """Read what is there, for who has no event loop to :meth:`watch` in; what is under way is taken as whole."""
        if self._fd >= 0:
            for _ in range(_LAST_BITES):
                for line in self._bite() or ():
                    self._add(line, time.monotonic())
            self._take(self._reports.flush())

    def close(self) -> None:
        """Read what is left, take what is under way as whole, and let go of the log."""
        self.read()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def document(self) -> dict[str, object]:
        """Return what ``summary.json`` says of the host's log."""
        return {
            "read": not self.problem,
            "problem": self.problem,
            "records": self.records.read,
            "overruns": self.overruns,
            "lost": self.records.lost,
            "torn": self.records.torn,
            "notes": list(self.notes),
            "reports": [
                {
                    "title": title,
                    "kind": finding.first.kind.value,
                    "count": finding.count,
                    "trials": list(finding.blame.trials),
                    "confidence": finding.blame.confidence.value,
                }
                for title, finding in self.findings.by_title.items()
            ],
        }

    def _open(self, path: Path) -> int:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            remedy = "; run as root, or sysctl kernel.dmesg_restrict=0" if isinstance(error, PermissionError) else ""
            self.problem = f"{path}: {error.strerror}{remedy}"
            return -1
        status = os.fstat(fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev != _KMSG_DEVICE:
            os.close(fd)
            self.problem = f"{path} is not the kernel's log but another device, as in a container"
            return -1
        with suppress(OSError):  # a pipe has no end to go to
            os.lseek(fd, 0, os.SEEK_END)
        return fd

    def _bite(self) -> list[LogLine] | None:
        """Read some records; return the kernel's own lines of them, None once there is nothing to read."""
        lines: list[LogLine] = []
        for place in range(_BITE):
            try:
                data = os.read(self._fd, _RECORD_BYTES)
            except BlockingIOError:
                return lines if place else None
            except BrokenPipeError:
                self.overruns += 1
                continue
            except OSError as error:
                self._ended, self.problem = True, f"it could be read no further: {error.strerror}"
                return lines or None
            if not data:
                self._ended = True
                return lines if place else None
            lines += self.records.feed(data)
        return lines

    def _add(self, line: LogLine, at_s: float) -> None:
        if len(self.notes) < MOST_NOTES and is_advice(line.text):
            self.notes[line.text] = None
        over = self._reports.add(line, at_s)
        if over or self._reports.underway:
            for task in tasks_in([line.text]):
                self._owners.setdefault(task, numbers_of(task)[0] or task)
            self._take(over)

    def _take(self, reports: list[KernelReport]) -> None:
        for report in reports:
            blamed = blame_for(report, self.live_trials.at(report.at_s), self._owners)
            self._on_report(self.findings.add(report, blamed))
        if not self._reports.underway:
            self._owners.clear()


class HostLogs:
    """The witnesses of several hosts' kernels as one; *logs* by the hosts' names."""

    def __init__(self, logs: Mapping[str, HostLog]) -> None:
        self._logs = logs

    @property
    def live_trials(self) -> dict[str, LiveTrials]:
        """Which trials are alive, by the names of the hosts."""
        return {name: log.live_trials for name, log in self._logs.items()}

    @property
    def reported(self) -> list[HostFinding]:
        """What they complained of, host by host."""
        return [finding for log in self._logs.values() for finding in log.reported]

    async def watch(self) -> None:
        """Read all of them until cancelled, or until they end."""
        async with anyio.create_task_group() as tasks:
            for log in self._logs.values():
                tasks.start_soon(log.watch)

    def close(self) -> None:
        """Close all of them."""
        for log in self._logs.values():
            log.close()

    def document(self) -> dict[str, object]:
        """Return what ``summary.json`` says of the hosts' logs: as of one, each note and report with its host."""
        documents: dict[str, Any] = {name: log.document() for name, log in self._logs.items()}
        return {
            "read": all(each["read"] for each in documents.values()),
            "problem": "; ".join(f"{name}: {each['problem']}" for name, each in documents.items() if each["problem"]),
            **{key: sum(each[key] for each in documents.values()) for key in ("records", "overruns", "lost", "torn")},
            "notes": [f"{name}: {note}" for name, each in documents.items() for note in each["notes"]],
            "reports": [{**report, "host": name} for name, each in documents.items() for report in each["reports"]],
        }
