"""What one sending of a command made QEMU do to its vCPUs, read off the window log (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qstress.interposer.windows import VALID_SMM, Log, LogRecord, RecordKind, windows, write_back


class GuestKind(StrEnum):
    """The kinds of guest that commands are sent to."""

    WAITING = "waiting"  # runs, its APs wait for their INIT: where one can be lost
    BOOTED = "booted"  # runs, all vCPUs are up and halted
    STOPPED = "stopped"  # booted, then stopped; told to go on after the command
    PAUSED = "paused"  # never ran


@dataclass(frozen=True, slots=True)
class Sending:
    """One sending, and what was seen of each vCPU from then on until all was quiet.

    ``read``: ``KVM_GET_VCPU_EVENTS``; ``written``: write-backs at run time, ``smm`` of them with the SMM part;
    ``reset``: writes at reset level. ``at_cont``: those that came when the guest was told to go on. ``window_s``: how
    long each vCPU stood between reading and writing back, in a running guest.
    """

    state: GuestKind
    accepted: bool = True
    said: str = ""
    read: Counter[int] = field(default_factory=Counter)
    written: Counter[int] = field(default_factory=Counter)
    reset: Counter[int] = field(default_factory=Counter)
    smm: int = 0
    at_cont: int = 0
    window_s: tuple[float, ...] = ()
    cpu: int | None = None

    @property
    def silent(self) -> bool:
        """Whether no vCPU was touched."""
        return not (self.read or self.written or self.reset)


def sending(
    state: GuestKind, records: Sequence[LogRecord], later: Sequence[LogRecord] = (), *, accepted: bool = True,
    said: str = "", cpu: int | None = None,
) -> Sending:  # fmt: skip
    """Return what *records* say of one sending.

    :param later: what came when the guest was told to go on.
    :param cpu: which vCPU the monitor was at, None: its own.
    """
    written = [(record.vcpu, write_back(record)) for record in (*records, *later) if record.kind is RecordKind.WRITE]
    at_runtime = [(vcpu, back) for vcpu, back in written if back.at_runtime]
    return Sending(
        state, accepted, said,
        read=Counter(record.vcpu for record in (*records, *later) if record.kind is RecordKind.READ),
        written=Counter(vcpu for vcpu, _ in at_runtime),
        reset=Counter(vcpu for vcpu, back in written if not back.at_runtime),
        smm=sum(bool(back.passed & VALID_SMM) for _, back in at_runtime),
        at_cont=sum(record.kind is RecordKind.WRITE for record in later),
        window_s=tuple(_durations(records)),
        cpu=cpu,
    )  # fmt: skip


def _durations(records: Sequence[LogRecord]) -> Iterable[float]:
    for window in windows(Log(tuple(records))):
        if window.written is not None and window.written.at_runtime:
            yield (window.written.ns - window.read_ns) / 1e9


def open_vcpus(records: Iterable[LogRecord]) -> set[int]:
    """Return the vCPUs that were read and have not run since."""
    opened: set[int] = set()
    for record in records:
        if record.kind is RecordKind.READ:
            opened.add(record.vcpu)
        elif record.kind is RecordKind.RUN:
            opened.discard(record.vcpu)
    return opened
