"""QEMU ended although nobody asked it to (pure)."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

from qstress.fuzz.ops import Send, To
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle
from qstress.fuzz.recording import Recording
from qstress.verdict.crash import crash_title

#: What is said by what then aborts: assertions, GLib, QEMU's error_abort, the C library.
_ABORTS = re.compile(
    r"ssertion|Unexpected error in|Bail out|ERROR:|not be reached|ailed to (?:allocate|find)|abort|\*\*\*|free\(\)"
    r"|malloc|corrupt|invalid runstate"
)
_PID = re.compile(r"==\d+==")
_NUMBER = re.compile(r"\b\d+\b")
#: What QEMU says all the time, which is not about its end.
_CHATTER = re.compile("Perhaps you want to install|do you want to install|warning:")
_ALLOCATION = re.compile(r"(?:failed to allocate|Cannot allocate) (?:memory \()?([0-9]+)")
#: What was set in the preconfig state is checked here, as a command line is: QEMU says what is wrong and exits with 1.
_MACHINE_MADE = ("x-exit-preconfig", "hmp exit_preconfig")


class CrashOracle(Oracle):
    """An end by a signal or a status, unless it was asked for or announced (event SHUTDOWN)."""

    kind = "crash"
    expected = "QEMU does what it is told or answers with an error, and lives"
    shell_shows = "QEMU ends with the same signal or status, which it prints"
    stacks_at = "end"
    blame = 4
    comes_late = True

    def __init__(self) -> None:
        self._asked_to_end = False

    def judge(self, seen: Observed) -> list[Fault]:
        """Return the crash; a note where the sandbox or a limit of ours ended QEMU."""
        self._asked_to_end = self._asked_to_end or any(map(_may_end, seen.exchange.sends))
        if (ended := seen.outcome.ended) is None:
            return []
        code, said, at = ended.returncode, ended.said, seen.unanswered
        announced = any(b'"event": "SHUTDOWN"' in line for line in seen.outcome.strays)
        if code == 0 and (self._asked_to_end or announced):
            return []
        words = [line for line in said.splitlines() if not _CHATTER.search(line)]
        because = (f"QEMU ended with status {code} at {at}", *words[-3:])
        if note := excuse(code, said, suspect=at, host_bytes=seen.host_bytes):
            return [Fault(self.kind, note, at, because, is_note=True)]
        return [Fault(self.kind, exit_title(code, said, suspect=at), at, because)]

    def signature(self, title: str) -> str:
        """The title without the command: in a batch, another one may have caused it."""
        return title.partition(" at ")[0]

    def shell_verdict(self, recording: Recording) -> Iterator[str]:
        """It shows when QEMU ends with the same status."""
        name = self.signature(recording.title).removeprefix("crash: ").partition(":")[0]
        known = name in signal.Signals.__members__
        status = str(128 + signal.Signals[name]) if known else name.removeprefix("exit status ")
        yield "await false  # until QEMU is gone"
        yield "lives && { echo 'QEMU lives'; exit 1; }"
        yield "wait $pid; status=$?; tail -3 stderr"
        yield f'echo "QEMU ended with status $status ({status} is {name})"; test $status -eq {status}'


def excuse(returncode: int, said: str, *, suspect: str, host_bytes: int) -> str:
    """Return why an end that looks like a crash is none: the sandbox spoke, or a limit of ours was reached; or nothing.

    :param suspect: the command that QEMU was at.
    :param host_bytes: this host's memory.
    """
    if returncode == -signal.SIGSYS:
        return f"QEMU's seccomp filter killed it at {suspect} (SIGSYS): the sandbox speaking"
    if returncode == -signal.SIGKILL:
        return "killed by SIGKILL: the kernel's out-of-memory killer, or somebody else"
    if returncode == 1 and suspect in _MACHINE_MADE:
        return f"QEMU refused to make the machine that it was told of at {suspect}"
    if (found := _ALLOCATION.search(said)) and int(found.group(1)) <= host_bytes:
        return f"out of our own limit on memory at {suspect}"
    return ""


def exit_title(returncode: int, said: str, *, suspect: str) -> str:
    """Return the title of a crash: the signal or status, and QEMU's last words, else the command that it was at."""
    how = signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"
    words = _last_words(returncode, said)
    at = "" if words and "allocate" not in words else f" at {suspect}"  # any command can ask for too much memory
    return f"crash: {how}{': ' if words else ''}{words}{at}"


def _last_words(returncode: int, said: str) -> str:
    """Return what QEMU said of its end: a sanitizer anywhere, else its last lines, unless it had no time to speak."""
    lines = [line for line in said.strip().splitlines() if not _CHATTER.search(line)]
    if reports := [line for line in lines if "Sanitizer:" in line]:
        return crash_title(_PID.sub("", reports[0]))
    if returncode >= 0:
        return _NUMBER.sub("N", crash_title("\n".join(lines[-2:])))
    aborts = [line for line in lines[-3:] if _ABORTS.search(line)]
    return crash_title(aborts[-1]) if aborts and -returncode in (signal.SIGABRT, signal.SIGTRAP) else ""


def _may_end(send: Send) -> bool:
    return b"quit" in send.data or b"powerdown" in send.data or (send.to is To.HMP and send.data.strip() == b"q")
