"""The interposer's log: memory shared with one QEMU, in which it counts and records, and from which it takes orders.

The layout is in :mod:`qstress.interposer.windows`, which reads the records. The futex below is how a held vCPU wakes
at once when it is let go.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from qstress.errors import RigError
from qstress.interposer.windows import BELL_AT, HEADER, HOLDING_AT, LOG_BYTES, MAGIC, RECORDS, Log, read_log

_SYS_FUTEX, _FUTEX_WAKE = 202, 1  # x86-64, where alone there is something to interpose
#: The variable by which QEMU is told its log.
LOG_VARIABLE = "QSTRESS_INTERPOSE_LOG_FD"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Counters:
    """How often one QEMU wrote vCPU events back (``KVM_SET_VCPU_EVENTS``).

    ``runtime``: at run time; ``runtime_asked``: of these, with the SMM part as QEMU made them (so its write-back is
    unguarded); ``runtime_passed``: of these, with the SMM part as KVM got them; ``reset``: at reset level or above.
    """

    runtime: int
    runtime_asked: int
    runtime_passed: int
    reset: int


class WindowLog:
    """The window log of one QEMU; a context manager. Where *env* does not load the interposer it is not there at all:
    nothing is added, nothing is read."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._fd = open_log() if "LD_PRELOAD" in env else -1
        self._head = 0
        self.env = {**env, **({LOG_VARIABLE: str(self._fd)} if self._fd >= 0 else {})}
        self.pass_fds = (self._fd,) if self._fd >= 0 else ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def counters(self) -> Counters | None:
        """Return what has been counted so far, None where there is no log."""
        return read_counters(self._fd) if self._fd >= 0 else None

    def hold(self, holding: bool) -> None:
        """Allow holds, or release the vCPUs that are held; see :func:`set_holding`."""
        if self._fd >= 0:
            set_holding(self._fd, holding)

    def read(self, most: int = RECORDS) -> Log | None:
        """Return what was recorded since the last call, the latest *most* of it, None without a log; QEMU may go on."""
        if self._fd < 0:
            return None
        with mmap.mmap(self._fd, LOG_BYTES, prot=mmap.PROT_READ) as memory, memoryview(memory) as view:
            head: int = HEADER.unpack_from(view)[5]
            log = read_log(view, max(self._head, head - most))
        self._head = log.head
        return log


def open_log() -> int:
    """Return a descriptor of a new, empty log in which nothing is held: memory only (it takes what is used of 8 MiB),
    one for each QEMU; the caller closes it."""
    fd = os.memfd_create("qstress-interpose", os.MFD_CLOEXEC)
    os.truncate(fd, LOG_BYTES)
    os.pwrite(fd, MAGIC, 0)
    return fd


def read_counters(fd: int) -> Counters:
    """Return what has been counted so far into the log *fd*, also while QEMU counts.

    :raises RigError: reason ``no-log``: it is no log of :func:`open_log`.
    """
    data = os.pread(fd, HEADER.size, 0)
    if len(data) != HEADER.size or not data.startswith(MAGIC):
        raise RigError(f"descriptor {fd} is not an interposer's log", reason="no-log")
    _, *numbers = HEADER.unpack(data)
    return Counters(*numbers[:4])


def set_holding(fd: int, holding: bool) -> None:
    """Allow holds (from before ``cont``), or release at once every vCPU that is held and hold none from now on (before
    ``quit`` and ``system_reset``).

    :raises RigError: reason ``no-log``: it is no log of :func:`open_log`.
    """
    read_counters(fd)
    with mmap.mmap(fd, HEADER.size) as memory:
        word, bell = (ctypes.c_uint32.from_buffer(memory, at) for at in (HOLDING_AT, BELL_AT))
        word.value = int(holding)
        bell.value += 1  # may lose against QEMU's own: the number changes all the same
        _libc.syscall(ctypes.c_long(_SYS_FUTEX), ctypes.byref(bell), ctypes.c_int(_FUTEX_WAKE),
                      ctypes.c_int(0x7FFFFFFF), None, None, ctypes.c_int(0))  # fmt: skip
        del word, bell
