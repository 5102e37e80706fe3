"""What can go wrong, by whose fault it is.

::

    QstressError
    +-- ConfigError    the user's: a configuration or an argument that cannot mean anything   (exit 2)
    +-- RigError       ours or the host's: no QEMU, no KVM, disk full, harness bug            (exit 4)
    +-- GuestError     the thing under test: the only kind that may become a finding

A rig error makes a trial ``rig``: never counted as passed, never as failed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

#: Exit codes of a run or session that a signal stopped: 128 and its number, as a shell tells them.
INTERRUPTED_EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}


class QstressError(Exception):
    """Root of everything qstress raises on purpose. Its text is one clear line for the user."""


class ConfigError(QstressError):
    """The user's configuration or arguments are wrong; nothing has been started."""


class RigError(QstressError):
    """The host or the harness failed, not the guest.

    :param message: one line: what failed, in the words of whoever refused, and the remedy if one is known.
    :param reason: a short closed label for metrics, e.g. ``"qemu-refused"`` or ``"disk-full"``.
    """

    def __init__(self, message: str, *, reason: str = "rig") -> None:
        super().__init__(message)
        self.reason = reason


class GuestError(QstressError):
    """The guest or its QEMU misbehaved: an observation about the thing under test."""


def rig_error_in(group: BaseExceptionGroup[BaseException]) -> RigError:
    """Return the first :class:`RigError` in *group*, however deep; *group* must hold nothing else."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, RigError)
    return error


@contextmanager
def rig_errors_alone() -> Iterator[None]:
    """Let a :class:`RigError` that task groups have put into exception groups out of the block by itself.

    Not by ``except*``: what is raised there is in a group again until Python 3.11.3 (CPython gh-103590).
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if group.split(RigError)[1] is not None:
            raise
        raise rig_error_in(group) from None
