"""Growth, state, and how QEMU ended."""

from __future__ import annotations

import signal

import pytest

from qstress.fuzz.ops import Footprint, Send, To
from qstress.fuzz.oracles import (
    STATE_QUERIES,
    Growth,
    ending,
    growth,
    only_reads,
    runstate,
    state_of,
    subject,
    waited_for,
)

PAGE = 4096


def looks(*anon_pages: int, descriptors: tuple[int, ...] = (20, 20, 20, 20)) -> list[Footprint]:
    return [Footprint(fds, pages * PAGE) for pages, fds in zip(anon_pages, descriptors, strict=True)]


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (looks(0, 100, 100, 100), None),  # the first round warms up
        (looks(0, 100, 102, 104), None),  # 170 bytes each: noise
        (looks(0, 48, 96, 144), Growth(4096.0, 0.0)),
        (looks(0, 48, 96, 96), None),  # not in every round
        (looks(0, 48, 96, 400), None),  # not alike
        (looks(9, 9, 9, 9, descriptors=(20, 68, 116, 164)), Growth(0.0, 1.0)),
        (looks(9, 9, 9, 9, descriptors=(20, 21, 22, 23)), None),
        (looks(9, 9, 9, 9, descriptors=(20, 0, 0, 0)), None),  # it is gone
        ([], None),
    ],
)
def test_growth_must_be_in_every_round_and_alike(seen: list[Footprint], found: Growth | None) -> None:
    assert growth(seen, 48) == found


@pytest.mark.parametrize(
    ("returncode", "said", "asked", "shutdown", "title", "note"),
    [
        (0, "", True, False, "", ""),
        (0, "", False, True, "", ""),
        (0, "", False, False, "crash: exit status 0 at stop", ""),
        (1, "qemu: load of migration failed: Invalid argument", True, False,
         "crash: exit status 1: qemu: load of migration failed: Invalid argument", ""),
        (1, "generic-port: node 16 is invalid\nqemu: module x not found, do you want to install y?", False, False,
         "crash: exit status 1: generic-port: node N is invalid", ""),
        (-11, "some words before", False, False, "crash: SIGSEGV at stop", ""),
        (-6, "warn\n../block.c:12: f: Assertion `x' failed.", False, False,
         "crash: SIGABRT: block.c: f: Assertion `x' failed.", ""),
        (-signal.SIGSYS, "", False, False, "",
         "QEMU's seccomp filter killed it at stop (SIGSYS): the sandbox speaking"),
        (-6, "Failed to connect to 'u0'\nread 512/512 bytes", False, False, "crash: SIGABRT at stop", ""),
        (-9, "", False, False, "", "killed by SIGKILL: the kernel's out-of-memory killer, or somebody else"),
        (-5, "GLib-ERROR: failed to allocate 1000 bytes", False, False, "", "out of our own limit on memory at stop"),
        (-5, "GLib-ERROR: failed to allocate 99999999999999 bytes", False, False,
         "crash: SIGTRAP: GLib-ERROR: failed to allocate N bytes at stop", ""),
        (-6, "Failed to find gap of requested size: 18446744073709486080", False, False,
         "crash: SIGABRT: Failed to find gap of requested size: N", ""),
        (1, "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x60200000eff0 at\n#0 x\nlast", True, True,
         "crash: exit status 1: ERROR: AddressSanitizer: heap-use-after-free on address N at", ""),
    ],
)  # fmt: skip
def test_how_qemu_ended(returncode: int, said: str, asked: bool, shutdown: bool, title: str, note: str) -> None:
    made = ending(returncode, said, asked=asked, shutdown=shutdown, suspect="stop", host_bytes=1 << 30)
    assert (made.title, made.note) == (title, note)


def test_a_machine_that_cannot_be_made_is_no_crash_and_a_signal_there_is() -> None:
    made = [
        ending(code, "total memory", asked=False, shutdown=False, suspect="x-exit-preconfig", host_bytes=1)
        for code in (1, -11)
    ]
    assert ending(1, "x", asked=False, shutdown=False, suspect="hmp exit_preconfig", host_bytes=1).note
    assert [(bool(each.title), bool(each.note)) for each in made] == [(False, True), (True, False)]


def test_state_is_what_exists_without_what_moves_by_itself() -> None:
    answers = [b'{"return": {"status": "running"}}', b'{"return": [{"name": "o1"}]}', b'{"return": []}',
               b'{"return": [{"label": "c0", "frontend-open": true}]}',
               b'{"return": [{"node-name": "n0", "iops": 5}, {"node-name": "#block1"}]}']  # fmt: skip
    assert len(answers) == len(STATE_QUERIES)
    moved = [answer.replace(b"true", b"false").replace(b": 5", b": 6") for answer in answers]
    assert state_of(answers) == state_of(moved)
    assert state_of(answers) != state_of([answer.replace(b"o1", b"o2") for answer in answers])
    assert state_of([*answers[:-1], None]) is None
    assert state_of([*answers[:-1], b'{"id": "s5", "error": {"class": "x"}}']) is None
    assert state_of(answers[:-1]) is None


def test_the_run_state_is_read_from_the_reply() -> None:
    assert runstate(b'{"return": {"status": "guest-panicked"}, "id": "q1"}') == "guest-panicked"
    assert runstate(None) == runstate(b"{}") == ""


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (Send(To.HMP, b"info block -v\n", command="info block"), "hmp info block"),
        (Send(To.QMP, b'{"arguments": {"driver": "nvme"}}', command="device_add"), "device_add nvme"),
        (Send(To.QMP, b'{"arguments": {"command-line": "info block d0"}}', command="human-monitor-command"),
         "hmp info block"),
        (Send(To.QMP, b'{"arguments": {"command-line": "sum 0 1"}}', command="human-monitor-command"), "hmp sum"),
        (Send(To.QMP, b'{"execute": "stop"}', command="stop"), "stop"),
        (Send(To.QMP, b"\xff", command=""), "corrupt bytes"),
    ],
)  # fmt: skip
def test_what_a_command_was_about(send: Send, words: str) -> None:
    assert subject(send) == words


def test_a_stall_is_at_a_command_whatever_it_was_about() -> None:
    plug = Send(To.QMP, b'{"execute": "device_add", "arguments": {"driver": "nvme"}}', command="device_add")
    assert (waited_for(plug), subject(plug)) == ("device_add", "device_add nvme")
    line = b'{"execute": "human-monitor-command", "arguments": {"command-line": "savevm x"}}'
    assert waited_for(Send(To.QMP, line, command="human-monitor-command")) == "hmp savevm"


def test_commands_that_only_read() -> None:
    assert all(map(only_reads, ("query-status", "x-query-irq", "qom-get", "qom-list-types", "info block", "help")))
    assert not any(map(only_reads, ("stop", "qom-set", "blockdev-add", "information")))
