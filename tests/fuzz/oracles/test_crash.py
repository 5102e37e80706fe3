"""How QEMU ended: a crash, a note, or what was asked for."""

from __future__ import annotations

import signal

import pytest

from qstress.fuzz.exchange import GuestExit
from qstress.fuzz.oracles.crash import CrashOracle, excuse, exit_title
from tests.fuzz.oracles.samples import STOP_EVENT, Judged, send
from tests.fuzz.samples import reply


def test_a_crash_is_blamed_on_the_first_command_without_an_answer() -> None:
    (fault,) = Judged(CrashOracle).faults(
        [send("stop"), send("cont", "q2"), send("resize", "q3")],
        [reply("q1", {}), None, None],
        ended=GuestExit(-11, "words"),
    )
    assert (fault.kind, fault.title, fault.suspect) == ("crash", "crash: SIGSEGV at cont", "cont")
    assert fault.because == ("QEMU ended with status -11 at cont", "words")
    assert not fault.is_note


def test_the_sandbox_speaking_is_a_note() -> None:
    (fault,) = Judged(CrashOracle).faults([send("stop")], [None], ended=GuestExit(-31, ""))
    assert fault.is_note


@pytest.mark.parametrize("command", ["quit", "system_powerdown"])
def test_an_end_that_was_asked_for_is_none(command: str) -> None:
    guest = Judged(CrashOracle)
    assert guest.faults([send(command)], [reply("q1", {})]) == []
    assert guest.faults([send("stop")], [None], ended=GuestExit(0, "")) == []


def test_an_end_that_was_announced_is_none_and_a_silent_one_is_a_crash() -> None:
    told = STOP_EVENT.replace(b"STOP", b"SHUTDOWN")
    ended = GuestExit(0, "")
    assert Judged(CrashOracle).faults([send("stop")], [None], ended=ended, strays=(told,)) == []
    (fault,) = Judged(CrashOracle).faults([send("stop")], [None], ended=ended)
    assert fault.title == "crash: exit status 0 at stop"


@pytest.mark.parametrize(
    ("returncode", "said", "title", "note"),
    [
        (0, "", "crash: exit status 0 at stop", ""),
        (1, "qemu: load of migration failed: Invalid argument",
         "crash: exit status 1: qemu: load of migration failed: Invalid argument", ""),
        (1, "generic-port: node 16 is invalid\nqemu: module x not found, do you want to install y?",
         "crash: exit status 1: generic-port: node N is invalid", ""),
        (-11, "some words before", "crash: SIGSEGV at stop", ""),
        (-6, "warn\n../block.c:12: f: Assertion `x' failed.", "crash: SIGABRT: block.c: f: Assertion `x' failed.", ""),
        (-signal.SIGSYS, "", "", "QEMU's seccomp filter killed it at stop (SIGSYS): the sandbox speaking"),
        (-6, "Failed to connect to 'u0'\nread 512/512 bytes", "crash: SIGABRT at stop", ""),
        (-9, "", "", "killed by SIGKILL: the kernel's out-of-memory killer, or somebody else"),
        (-5, "GLib-ERROR: failed to allocate 1000 bytes", "", "out of our own limit on memory at stop"),
        (-5, "GLib-ERROR: failed to allocate 99999999999999 bytes",
         "crash: SIGTRAP: GLib-ERROR: failed to allocate N bytes at stop", ""),
        (-6, "Failed to find gap of requested size: 18446744073709486080",
         "crash: SIGABRT: Failed to find gap of requested size: N", ""),
        (1, "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x60200000eff0 at\n#0 x\nlast",
         "crash: exit status 1: ERROR: AddressSanitizer: heap-use-after-free on address N at", ""),
    ],
)  # fmt: skip
def test_how_qemu_ended(returncode: int, said: str, title: str, note: str) -> None:
    assert excuse(returncode, said, suspect="stop", host_bytes=1 << 30) == note
    if title:
        assert exit_title(returncode, said, suspect="stop") == title


def test_a_failed_end_is_a_crash_whether_asked_for_or_not() -> None:
    ended = GuestExit(1, "load of migration failed")
    (fault,) = Judged(CrashOracle).faults([send("quit")], [None], ended=ended)
    assert fault.title == "crash: exit status 1: load of migration failed"


def test_a_machine_that_cannot_be_made_is_no_crash_and_a_signal_there_is() -> None:
    assert excuse(1, "total memory", suspect="x-exit-preconfig", host_bytes=1)
    assert excuse(1, "x", suspect="hmp exit_preconfig", host_bytes=1)
    assert not excuse(-11, "total memory", suspect="x-exit-preconfig", host_bytes=1)
