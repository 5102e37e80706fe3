"""What a session's facts amount to: growth, state that changed by itself, how QEMU ended (pure)."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.fuzz.ops import Footprint, Send, To
from qstress.verdict.crash import crash_title

#: Repeats between two looks at the footprint, few for a first look at many commands, more where it seemed to grow; and
#: how many rounds of them there are.
REPEATS = 24
REPEATS_AGAIN = 200
ROUNDS = 3
#: Growth a command below which is noise: allocators grow by the page, and caches fill.
LEAK_BYTES = 256
_READERS = (
    "query-",
    "x-query-",
    "qom-list",
    "qom-get",
    "device-list-properties",
    "trace-event-get-state",
    "info ",
    "help",
)
#: The queries whose answers make up the state that a refused command must not change, and what of an answer counts.
STATE_QUERIES: tuple[tuple[str, dict[str, object]], ...] = (
    ("query-status", {}),
    ("qom-list", {"path": "/objects"}),
    ("qom-list", {"path": "/machine/peripheral"}),
    ("query-chardev", {}),
    ("query-named-block-nodes", {"flat": True}),
)
#: What of an answer tells the state; in a regular expression of grep's too.
NAMES = rb'"(?:name|label|node-name|status)": "([^"#]*)"'
_NAMES = re.compile(NAMES)
_STATUS = re.compile(rb'"status": "([a-z-]+)"')
#: What is said by what then aborts: assertions, GLib, QEMU's error_abort, the C library.
_ABORTS = re.compile(
    r"ssertion|Unexpected error in|Bail out|ERROR:|not be reached|ailed to (?:allocate|find)|abort|\*\*\*|free\(\)"
    r"|malloc|corrupt|invalid runstate"
)
_PID = re.compile(r"==\d+==")
_NUMBER = re.compile(r"\b\d+\b")
#: What QEMU says all the time, which is not about its end.
_CHATTER = re.compile("Perhaps you want to install|do you want to install|warning:")
#: Commands after which the run state changes by itself, some time later.
_GOES_ON = re.compile(rb"migrat|snapshot|savevm|loadvm|dump|xen-|nmi|watchdog")
_ALLOCATION = re.compile(r"(?:failed to allocate|Cannot allocate) (?:memory \()?([0-9]+)")
#: What was set in the preconfig state is checked here, as a command line is: QEMU says what is wrong and exits with 1.
_MACHINE_MADE = ("x-exit-preconfig", "hmp exit_preconfig")
_QUITS = ("quit", "q", "system_powerdown")


def only_reads(command: str) -> bool:
    """Whether *command* (``info …`` for HMP) is documented to change nothing."""
    return command.startswith(_READERS)


def state_of(answers: Sequence[bytes | None]) -> tuple[frozenset[bytes], ...] | None:
    """Return the state that the answers to :data:`STATE_QUERIES` show; None when one is missing or an error."""
    if len(answers) != len(STATE_QUERIES) or any(answer is None or b'"error": {' in answer for answer in answers):
        return None
    return tuple(frozenset(_NAMES.findall(answer)) for answer in answers if answer is not None)


def runstate(answer: bytes | None) -> str:
    """Return the run state that an answer of ``query-status`` tells, empty where it tells none."""
    found = _STATUS.search(answer or b"")
    return found.group(1).decode() if found else ""


@dataclass(frozen=True, slots=True)
class Growth:
    """What one command costs, for ever: bytes and descriptors, the least of all rounds."""

    bytes_each: float
    descriptors_each: float


def growth(looks: Sequence[Footprint], repeats: int) -> Growth | None:
    """Return by how much QEMU grew with each repeat, if it did in every round between two of *looks* alike.

    The first round warms caches up; in the others the least growth must be at least half of the most.
    """
    rounds = list(zip(looks[1:], looks[2:], strict=False))
    if not rounds or any(look.descriptors == 0 for look in looks):
        return None
    sizes = [after.anon_bytes - before.anon_bytes for before, after in rounds]
    counts = [after.descriptors - before.descriptors for before, after in rounds]
    grows = min(sizes) >= repeats * LEAK_BYTES and min(sizes) * 2 >= max(sizes)
    opens = min(counts) >= repeats // 4 and min(counts) * 2 >= max(counts)
    if not grows and not opens:
        return None
    return Growth(min(sizes) / repeats if grows else 0.0, min(counts) / repeats if opens else 0.0)


@dataclass(frozen=True, slots=True)
class Ending:
    """What to make of a QEMU that ended: ``title`` names a crash; empty where it was asked to end.

    ``note`` says why something that looks like a crash is none: the sandbox spoke, or a limit of ours was reached.
    """

    title: str
    note: str = ""


def ending(returncode: int, said: str, *, asked: bool, shutdown: bool, suspect: str, host_bytes: int) -> Ending:
    """Judge the end of a QEMU.

    :param asked: a command that ends QEMU was among those that it had not answered, or the last ones.
    :param shutdown: it announced its end (event SHUTDOWN).
    :param suspect: the command that it was at.
    :param host_bytes: this host's memory: an allocation beyond it fails with and without our limits.
    """
    if returncode == 0 and (asked or shutdown):
        return Ending("")
    if returncode == -signal.SIGSYS:
        return Ending("", f"QEMU's seccomp filter killed it at {suspect} (SIGSYS): the sandbox speaking")
    if returncode == -signal.SIGKILL:
        return Ending("", "killed by SIGKILL: the kernel's out-of-memory killer, or somebody else")
    if returncode == 1 and suspect in _MACHINE_MADE:
        return Ending("", f"QEMU refused to make the machine that it was told of at {suspect}")
    if (found := _ALLOCATION.search(said)) and int(found.group(1)) <= host_bytes:
        return Ending("", f"out of our own limit on memory at {suspect}")
    how = signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"
    words = _last_words(returncode, said)
    at = "" if words and "allocate" not in words else f" at {suspect}"  # any command can ask for too much memory
    return Ending(f"crash: {how}{': ' if words else ''}{words}{at}")


def subject(send: Send) -> str:
    """Return what a command was about, in a word or two, for titles: ``device_add nvme``, ``hmp info block``."""
    if send.to is To.HMP:
        return f"hmp {send.command}"
    text = send.data.decode(errors="replace")
    for command, member in _TELLING.items():
        if send.command == command and (found := re.search(rf'"{member}": ?"([^"]{{1,60}})"', text)):
            words = found.group(1).split()
            return f"hmp {_hmp_name(words)}" if command == "human-monitor-command" else f"{command} {found.group(1)}"
    return send.command or "corrupt bytes"


def changes_runstate_later(send: Send) -> bool:
    """Whether *send*, once accepted, may change the run state when it is long done."""
    return _GOES_ON.search(send.data) is not None


def waited_for(send: Send) -> str:
    """Return what a stall or a leak is at: what a command was about does not tell two of them apart."""
    return send.command if send.to is To.QMP and send.command != "human-monitor-command" else subject(send)


def quits(command: str) -> bool:
    """Whether *command* is one that asks QEMU to end."""
    return command.split(" ")[0] in _QUITS


def _hmp_name(words: list[str]) -> str:
    return " ".join(words[:2]) if words[:1] == ["info"] else "".join(words[:1])


def _last_words(returncode: int, said: str) -> str:
    """Return what QEMU said of its end: a sanitizer anywhere, else its last lines, unless it had no time to speak."""
    lines = [line for line in said.strip().splitlines() if not _CHATTER.search(line)]
    if reports := [line for line in lines if "Sanitizer:" in line]:
        return crash_title(_PID.sub("", reports[0]))
    if returncode >= 0:
        return _NUMBER.sub("N", crash_title("\n".join(lines[-2:])))
    aborts = [line for line in lines[-3:] if _ABORTS.search(line)]
    return crash_title(aborts[-1]) if aborts and -returncode in (signal.SIGABRT, signal.SIGTRAP) else ""


_TELLING = {
    "human-monitor-command": "command-line",
    "device_add": "driver",
    "object-add": "qom-type",
    "blockdev-add": "driver",
    "netdev_add": "type",
    "qom-set": "property",
    "qom-get": "property",
    "chardev-add": "type",
    "device-list-properties": "typename",
}
