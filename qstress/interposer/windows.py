"""The interposer's window log: what is in it, and what it says of the race (pure: bytes in, facts out).

When a monitor command wants a vCPU's state, QEMU reads it from KVM and writes it back before the vCPU runs on. In
between lies a window: what KVM changes meanwhile is overwritten. ``interpose.c`` records the calls that matter, in
shared memory; this module knows that memory's layout, pairs reads with write-backs, and tells what became of an INIT.

No ioctl of QEMU marks an INIT, so its time is a bracket: after the last call in which an AP was still waiting for it,
before the first that shows its arrival at some AP. Only APs at which something arrived bear witness: one that lost its
INIT in silence looks as if it had never been sent. The best sign is ``KVM_RUN`` answering EAGAIN: that ends the wait in
``KVM_MP_STATE_UNINITIALIZED`` at an INIT, or at the SIPI right behind one that was lost (kvm_arch_vcpu_ioctl_run).
Values: ``arch/x86/include/uapi/asm/kvm.h`` (flags), ``include/uapi/linux/kvm.h`` (mp_state).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

#: The layout, as in ``interpose.c``: magic, four counters, head, control words; then the ring of records.
MAGIC = b"qstrlog2"
HEADER = struct.Struct("=8s5Q4I")
RECORD = struct.Struct("=4Q")
RECORDS = 262144
LOG_BYTES = HEADER.size + RECORDS * RECORD.size
HOLDING_AT, BELL_AT = 48, 52

AT_RESET_LEVEL = 1  # KVM_VCPUEVENT_VALID_NMI_PENDING: QEMU sets it at reset level and above only
VALID_SMM = 8  # KVM_VCPUEVENT_VALID_SMM: KVM then takes latched_init as well, and forgets a pending INIT
UNINITIALIZED = 1  # KVM_MP_STATE_UNINITIALIZED: an AP that waits for its INIT
INIT_RECEIVED = 2  # KVM_MP_STATE_INIT_RECEIVED: one that waits for its SIPI, which says where it starts
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1
_MP_STATES = ("RUNNABLE", "UNINITIALIZED", "INIT_RECEIVED", "HALTED", "SIPI_RECEIVED")


class RecordKind(IntEnum):
    """What a record tells of; see ``enum kind`` in ``interpose.c``."""

    READ = 1
    MP_STATE = 2
    HELD = 3
    WRITE = 4
    RUN = 5
    WOKEN = 6


_KINDS = {int(kind): kind for kind in RecordKind}


class LogRecord(NamedTuple):
    """One record: CLOCK_MONOTONIC nanoseconds, QEMU's cpu-index, what, and its value."""

    ns: int
    vcpu: int
    kind: RecordKind
    value: int


@dataclass(frozen=True, slots=True)
class Log:
    """Records in order of time. ``head``: how many were ever begun, to be given as *since* next time; ``torn``: found
    unfinished or overwritten while they were read; ``overwritten``: gone before that."""

    records: tuple[LogRecord, ...] = ()
    head: int = 0
    torn: int = 0
    overwritten: int = 0


@dataclass(frozen=True, slots=True)
class WriteBack:
    """One ``KVM_SET_VCPU_EVENTS``: its flags as QEMU made them and as KVM got them, and where QEMU put the vCPU."""

    ns: int
    asked: int
    passed: int
    cs: int
    eip: int

    @property
    def at_runtime(self) -> bool:
        """Whether it is the end of a window, and no reset."""
        return not self.asked & AT_RESET_LEVEL

    @property
    def at_reset_vector(self) -> bool:
        """Whether the vCPU starts (again) where x86 starts."""
        return (self.cs, self.eip) == (0xF000, 0xFFF0)


@dataclass(frozen=True, slots=True)
class Window:
    """One vCPU between being read and being written back. ``written`` is None where that is not in the log,
    ``mp_state`` where QEMU did not ask."""

    vcpu: int
    read_ns: int
    latched_init: bool
    mp_state: int | None = None
    written: WriteBack | None = None


@dataclass(frozen=True, slots=True)
class Bracket:
    """When INIT was sent: not before ``lower_ns`` (None: nobody was seen waiting) and not after ``upper_ns``, and who
    says so."""

    lower_ns: int | None
    lower_vcpu: int | None
    upper_ns: int
    upper_vcpu: int
    upper_says: str


def read_log(data: bytes | memoryview, since: int = 0) -> Log:
    """Return what is in the log's memory (or in a copy, its unused end left out), from record number *since* on.

    Never raises: anything that is no log is an empty one.
    """
    if len(data) < HEADER.size or bytes(data[: len(MAGIC)]) != MAGIC:
        return Log()
    head: int = HEADER.unpack_from(data)[5]
    first = max(0, since, head - RECORDS)
    records: list[LogRecord] = []
    for number in range(first, head):
        at = HEADER.size + number % RECORDS * RECORD.size
        if at + RECORD.size > len(data):
            continue
        what, ns, value, check = RECORD.unpack_from(data, at)
        kind = _KINDS.get(what >> 16 & 0xFFFF)
        sound = what >> 32 == (number + 1) & _U32 and check == (5 * what + 3 * value + ns) & _U64
        if sound and kind is not None:
            records.append(LogRecord(ns, what & 0xFFFF, kind, value))
    torn = max(0, head - first) - len(records)
    records.sort(key=lambda record: record.ns)
    return Log(tuple(records), head, torn, max(0, first - max(0, since)))


def windows(log: Log) -> tuple[Window, ...]:
    """Return each vCPU's reads with the write-back that follows, in order of reading; ``KVM_RUN`` ends a window."""
    done: list[Window] = []
    current: dict[int, Window] = {}
    for record in log.records:
        window = current.get(record.vcpu)
        if record.kind is RecordKind.READ:
            if window is not None:
                done.append(window)
            current[record.vcpu] = Window(record.vcpu, record.ns, bool(record.value & 0xFF))
        elif window is None:
            continue
        elif record.kind is RecordKind.MP_STATE and window.written is None:
            current[record.vcpu] = replace(window, mp_state=record.value)
        elif record.kind is RecordKind.WRITE and window.written is None:
            current[record.vcpu] = replace(window, written=write_back(record))
        elif record.kind is RecordKind.RUN and window.written is not None:
            done.append(window)
            del current[record.vcpu]
    return tuple(sorted((*done, *current.values()), key=lambda window: window.read_ns))


def write_back(record: LogRecord) -> WriteBack:
    """Return what a record of kind ``WRITE`` says."""
    value = record.value
    return WriteBack(record.ns, value & 0xFF, value >> 8 & 0xFF, value >> 16 & 0xFFFF, value >> 32 & _U32)


def duty_cycle(seen: Iterable[Window], start_ns: int, end_ns: int) -> float:
    """Return D: the share of the time from *start_ns* to *end_ns* in which some AP (index above 0) was between read and
    write-back at run time; 0.0 for no time. A window that is still open lasts until *end_ns*.

    A bring-up whose INIT falls anywhere in that time alike loses it for some AP with probability D
    (docs/background/race.md, "The lost INIT").
    """
    of_aps = [each for each in seen if each.vcpu > 0 and (each.written is None or each.written.at_runtime)]
    covered, until = 0, start_ns
    for begin, end in sorted((each.read_ns, each.written.ns if each.written else end_ns) for each in of_aps):
        begin, end = max(begin, until), min(end, end_ns)
        if end > begin:
            covered += end - begin
            until = end
    return covered / (end_ns - start_ns) if end_ns > start_ns else 0.0


def init_bracket(log: Log, start_ns: int) -> Bracket | None:
    """Return when the first INIT after *start_ns* was sent, or None where no AP shows that there was one."""
    aps = {record.vcpu for record in log.records} - {0}
    bearing = {vcpu: first for vcpu in aps if (first := _first_sign(log, vcpu, start_ns))}
    if not bearing:
        return None
    upper, says = min(bearing.values(), key=lambda sign: sign[0].ns)
    waiting = [
        record for record in log.records
        if record.kind is RecordKind.MP_STATE and record.value == UNINITIALIZED
        and record.vcpu in bearing and start_ns <= record.ns <= upper.ns
    ]  # fmt: skip
    last = max(waiting, key=lambda record: record.ns, default=None)
    return Bracket(last.ns if last else None, last.vcpu if last else None, upper.ns, upper.vcpu, says)


def causal_line(log: Log, vcpu: int, zero_ns: int) -> str | None:
    """Return in one sentence how AP *vcpu* lost its INIT or ran the firmware again, from what was recorded since
    *zero_ns* (when the guest was told to run; CLOCK_MONOTONIC); None where the log does not show either.
    """
    records = since(log, zero_ns).records
    begun_ns = max((record.ns for record in records if _is_reset(record)), default=zero_ns)
    own = windows(replace(log, records=tuple(record for record in records if record.vcpu == vcpu)))
    bracket = init_bracket(log, begun_ns)
    waits = [window for window in own if window.read_ns >= begun_ns and window.mp_state == UNINITIALIZED]
    if not _still_waits(records, vcpu, bracket.upper_ns if bracket else begun_ns):
        waits = []
    if waits and bracket:
        return _lost(waits, bracket, zero_ns)
    if replay := next(filter(_is_replay, own), None):
        return _replayed(replay, zero_ns)
    return _lost_unseen(waits, vcpu) if waits else None


def bringup_began_ns(log: Log, default_ns: int) -> int:
    """Return when the bring-up began in which the first INIT was replayed, or without any the last one: the last reset
    of the boot CPU before that; *default_ns* where there is none."""
    until_ns = _first_replay_ns(log)
    return max((ns for ns in _boot_cpu_resets_ns(log) if until_ns is None or ns <= until_ns), default=default_ns)


def replayed(log: Log, zero_ns: int) -> tuple[int, ...]:
    """Return the APs that were written back at the reset vector after their INIT had been read, since *zero_ns*."""
    return tuple(sorted({window.vcpu for window in windows(since(log, zero_ns)) if _is_replay(window)}))


def until_replay_ended(log: Log, zero_ns: int) -> Log:
    """Return *log* up to the end of the bring-up in which the first INIT since *zero_ns* was replayed: the boot CPU's
    next reset; all of it where none was, or where no reset follows."""
    replayed_ns = _first_replay_ns(since(log, zero_ns))
    later = (ns for ns in _boot_cpu_resets_ns(log) if replayed_ns is not None and ns > replayed_ns)
    ended_ns = min(later, default=None)
    return replace(log, records=tuple(record for record in log.records if ended_ns is None or record.ns < ended_ns))


def since(log: Log, zero_ns: int) -> Log:
    """Return *log* from *zero_ns* on."""
    return replace(log, records=tuple(record for record in log.records if record.ns >= zero_ns))


def _boot_cpu_resets_ns(log: Log) -> list[int]:
    return [record.ns for record in log.records if record.vcpu == 0 and _is_reset(record)]


def _first_replay_ns(log: Log) -> int | None:
    return min((window.written.ns for window in windows(log) if _is_replay(window) and window.written), default=None)


def _lost(waits: Sequence[Window], bracket: Bracket, zero_ns: int) -> str | None:
    lower_ns = zero_ns if bracket.lower_ns is None else bracket.lower_ns
    overwriting = [
        (window, window.written) for window in waits
        if window.written and window.written.passed & VALID_SMM
        and window.read_ns <= bracket.upper_ns and window.written.ns >= lower_ns
    ]  # fmt: skip
    if not overwriting:
        return None
    window, written = max(overwriting, key=lambda pair: pair[1].ns - pair[0].read_ns)
    after = "no AP was read before" if bracket.lower_vcpu is None else f"AP {bracket.lower_vcpu} still waited for it"
    others = f" (the longest of {len(overwriting)} windows in question)" if len(overwriting) > 1 else ""
    return (
        f"AP {window.vcpu} was read at {_s(window.read_ns, zero_ns)} and written back at {_s(written.ns, zero_ns)} "
        f"with flags {written.passed:#x}{others}; INIT was sent between {_s(lower_ns, zero_ns)} ({after}) and "
        f"{_s(bracket.upper_ns, zero_ns)} (AP {bracket.upper_vcpu} {bracket.upper_says})"
    )


def _lost_unseen(waits: Sequence[Window], vcpu: int) -> str | None:
    flags = sorted({window.written.passed for window in waits if window.written})
    if not any(flag & VALID_SMM for flag in flags):
        return None
    return (
        f"AP {vcpu} was read {len(waits)} times without having had an INIT, and written back with flags "
        f"{', '.join(map(hex, flags))}; no other AP shows when INIT was sent"
    )


def _is_replay(window: Window) -> bool:
    written = window.written
    return bool(
        window.vcpu > 0 and window.latched_init and window.mp_state not in (None, UNINITIALIZED, INIT_RECEIVED)
        and written and written.at_runtime and written.at_reset_vector
    )  # fmt: skip


def _replayed(window: Window, zero_ns: int) -> str | None:
    assert window.written is not None
    return (
        f"AP {window.vcpu} was read at {_s(window.read_ns, zero_ns)} with latched_init=1, then {_mp(window.mp_state)}, "
        f"then written back at {_s(window.written.ns, zero_ns)} at f000:fff0"
    )


def _still_waits(records: Iterable[LogRecord], vcpu: int, after_ns: int) -> bool:
    """Whether the last that is known of AP *vcpu* is that it waited for an INIT, still or again after *after_ns*."""
    telling = (RecordKind.MP_STATE, RecordKind.WOKEN)
    known = (record for record in records if record.vcpu == vcpu > 0 and record.kind in telling)
    last = max(known, key=lambda record: record.ns, default=None)
    if last is None or last.ns <= after_ns:
        return False
    return last.kind is RecordKind.MP_STATE and last.value == UNINITIALIZED


def _first_sign(log: Log, vcpu: int, start_ns: int) -> tuple[LogRecord, str] | None:
    """Return the first record that shows that INIT (or the SIPI behind it) has arrived at *vcpu*, and how."""
    for record in log.records:
        if record.vcpu != vcpu or record.ns < start_ns:
            continue
        if record.kind is RecordKind.WOKEN:
            return record, "was woken by INIT or SIPI"
        if record.kind is RecordKind.READ and record.value & 0xFF:
            return record, "was read with latched_init=1"
        if record.kind is RecordKind.MP_STATE and record.value != UNINITIALIZED:
            return record, f"was read as {_mp(record.value)}"
    return None


def _is_reset(record: LogRecord) -> bool:
    return record.kind is RecordKind.WRITE and not write_back(record).at_runtime


def _mp(state: int | None) -> str:
    return _MP_STATES[state] if state is not None and state < len(_MP_STATES) else f"mp_state {state}"


def _s(ns: int, zero_ns: int) -> str:
    return f"{(ns - zero_ns) / 1e9:.6f} s"
