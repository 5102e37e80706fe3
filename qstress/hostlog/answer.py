"""What ``qstress explain`` says of a pasted kernel log (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.hostlog.kinds import ReportKind, is_advice
from qstress.hostlog.pasted import log_lines
from qstress.hostlog.reports import KernelReport, ReportReader

#: A register dump of QEMU, or a word of QEMU or its monitor: then the text is about a guest.
_QEMU = re.compile(
    rb"\b[ER]?(?:AX|IP|FL)=[0-9a-fA-F]{4,16}\b|^\W*CPU#\d+|\(qemu\)|\binfo registers\b|"
    rb"^[^\n\[]{0,80}qemu-(?:system|kvm)[\w-]*: |\bKVM internal error|\bKVM: (?:entry failed|injection)|"
    rb"\bhw_error\b|\bqemu[\w-]*\[\d+\]: segfault|traps: qemu",
    re.MULTILINE,
)
#: So many lines with the kernel's stamp, and so great a share of all, make a text without a report a kernel's log.
_LEAST_LINES, _LEAST_SHARE = 3, 0.5
_KVM = re.compile(
    r"\[kvm(?:_intel|_amd)?\]|\b(?:__)?(?:kvm|vmx|svm|vcpu|vhost|irqfd)_\w+|CPU \d+/KVM|\bqemu-\S+|\bKVM\b|^kvm"
)
#: QEMU, too, may be called ``kvm`` and speak so; this is the kernel's module.
_KERNELS_KVM = re.compile(r"kvm(?:_intel|_amd| \[\d+\]):")
_MOST_NOTES = 10


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """The reports in a kernel's log, those of one title once, and why each is one."""

    reports: tuple[KernelReport, ...]
    because: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """``host-kernel``, or ``quiet`` where nothing counts."""
        return "host-kernel" if self.reports else "quiet"

    def document(self) -> dict[str, object]:
        """Return the answer as JSON-able values (docs/reference.md, "JSON of other commands")."""
        told = [{"kind": str(report.kind), "title": report.title} for report in self.reports]
        return {"verdict": self.verdict, "reports": told, "because": list(self.because)}

    def text(self) -> str:
        """Return the answer for people."""
        head = [f"  {report.kind:<12} {report.title}" for report in self.reports]
        return "\n".join([f"{self.verdict}", *head, "because", *(f"  - {reason}" for reason in self.because)])


def explain_log(text: bytes) -> LogAnswer | None:
    """Return what the kernel's log *text* says; None if it is no kernel's log, or speaks of a guest's registers too.

    A text is one if a report is in it, or if most of its lines have a kernel log's stamp.
    """
    if _QEMU.search(text):
        return None
    reader = ReportReader()
    reports: list[KernelReport] = []
    notes: dict[str, None] = {}
    lines = stamped = 0
    for line, is_stamped in log_lines(text):
        reports += reader.add(line, float(lines))
        lines += bool(line.text.strip())
        stamped += is_stamped and bool(line.text.strip())
        if is_advice(line.text):
            notes[line.text] = None
    reports = sorted([*reports, *reader.flush()], key=lambda report: report.at_s)
    if stamped:
        is_log = bool(reports) or (stamped >= _LEAST_LINES and stamped >= _LEAST_SHARE * lines)
    else:
        is_log = any(report.kind is not ReportKind.KVM or _KERNELS_KVM.match(report.lines[0]) for report in reports)
    if not is_log:
        return None
    count = Counter(report.title for report in reports)
    first = {report.title: report for report in reversed(reports)}
    told = tuple(first[title] for title in count)
    because = [f"{title}: {number} time(s); {_of_kvm(first[title].lines)}" for title, number in count.items()]
    because = because or [f"nothing that counts in {lines} lines"]
    return LogAnswer(told, (*because, *(f"KVM's own advice, no finding: {note}" for note in list(notes)[:_MOST_NOTES])))


def _of_kvm(lines: Sequence[str]) -> str:
    """Return what a report with these *lines* says of KVM."""
    named = dict.fromkeys(match[0] for line in lines for match in _KVM.finditer(line))
    return f"it names {', '.join(list(named)[:4])}" if named else "it says nothing of KVM or QEMU"
