"""Records of a window log, sendings and surveys to test with."""

from __future__ import annotations

from collections import Counter

from qstress.interposer.windows import LogRecord, RecordKind
from qstress.model import Build, Smm
from qstress.survey.answers import RaceCount, Races, Row, not_tried, row
from qstress.survey.job import Survey
from qstress.survey.observed import GuestKind, Sending

AT_RUNTIME, WITHOUT_SMM, AT_RESET = 0x38, 0x30, 0x39


def write_value(flags: int) -> int:
    return flags | flags << 8


def synchronised(vcpu: int, *, at_ns: int = 1000, for_ns: int = 500, flags: int = AT_RUNTIME) -> list[LogRecord]:
    """A vCPU that is read, written back and runs on."""
    return [
        LogRecord(at_ns, vcpu, RecordKind.READ, 0),
        LogRecord(at_ns + 1, vcpu, RecordKind.MP_STATE, 1),
        LogRecord(at_ns + for_ns, vcpu, RecordKind.WRITE, write_value(flags)),
        LogRecord(at_ns + for_ns + 1, vcpu, RecordKind.RUN, 0),
    ]


def seen(state: GuestKind, *vcpus: int, cpu: int | None = None) -> Sending:
    """A sending that reads and writes back *vcpus*, each once."""
    return Sending(state, read=Counter(vcpus), written=Counter(vcpus), smm=len(vcpus), cpu=cpu, window_s=(0.001,))


def surveyed(*rows: Row, loud: tuple[str, ...] = ()) -> Survey:
    build = Build("checked", "/opt/<qemu>", "10.0.13", "", smm=Smm.PRETENDED)
    return Survey(build, rows, 500, loud, 61.0)


WAITING = GuestKind.WAITING
RACED = Races(RaceCount(3, 200), RaceCount(1, 200), RaceCount(80, 200), RaceCount(90, 200))
ROWS = (
    row("info registers -a", "hmp", [seen(WAITING, 0, 1, 2, 3)], {}),
    row("query-status", "qmp", [seen(WAITING)], {}),
    not_tried("quit", "qmp", "it ends QEMU"),
)
