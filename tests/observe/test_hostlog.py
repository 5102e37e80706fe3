"""The reader, on a pipe in place of ``/dev/kmsg``, and once on the real one."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from qstress.hostlog.findings import HostFinding, reports_text
from qstress.hostlog.lines import kernel_log_lines
from qstress.model import Confidence
from qstress.observe import hostlog
from qstress.observe.hostlog import KMSG, HostLog, HostLogs
from tests.hostlog.samples import NAMES, golden, recorded

KCSAN = golden("kcsan-two-functions")


class Kernel:
    """The writing end of a log that a :class:`HostLog` reads."""

    def __init__(self, fd: int, log: HostLog, heard: list[HostFinding]) -> None:
        self.fd, self.log, self.heard = fd, log, heard
        self._numbers = count()
        self.at_us = 0

    async def say(self, *texts: str, priority: int = 4) -> None:
        """Write records, each in a write of its own, as the kernel gives them."""
        for text in texts:
            await anyio.wait_writable(self.fd)
            os.write(self.fd, recorded([text], first=next(self._numbers), start_us=self.at_us, priority=priority))
            self.at_us += 10

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            await anyio.sleep(0.001)


@asynccontextmanager
async def watched() -> AsyncIterator[Kernel]:
    """A log that is being watched until the block is left, then closed. As in the real one, each read gives what one
    write gave (``O_DIRECT``, pipe(2))."""
    read_fd, fd = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    heard: list[HostFinding] = []
    log = HostLog(heard.append, Path(f"/proc/self/fd/{read_fd}"))
    os.close(read_fd)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.watch)
            yield Kernel(fd, log, heard)
            tasks.cancel_scope.cancel()
    finally:
        log.close()
        os.close(fd)


def told(log: HostLog) -> list[str]:
    return kernel_log_lines(log.document())


async def test_what_kvm_advises_is_a_note_and_no_finding() -> None:
    advice = "kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable"
    async with watched() as kernel:
        await kernel.say(advice, advice, *KCSAN.lines)
        await kernel.until(lambda: len(kernel.heard) == 1)
    assert kernel.log.document()["notes"] == [advice]
    assert f"  note: {advice}" in told(kernel.log)


async def test_every_kind_is_found_titled_and_counted_once_a_title() -> None:
    async with watched() as kernel:
        for _ in range(2):
            for name in NAMES:
                await kernel.say(*golden(name).said)
        await kernel.until(lambda: len(kernel.heard) >= 2 * len(NAMES) - 1)
    titles = [golden(name).title for name in NAMES]
    found = kernel.log.findings.by_title
    assert set(found) == set(titles)
    assert {title: each.count for title, each in found.items()} == {title: 2 * titles.count(title) for title in titles}
    assert all(
        each.first.lines == golden(name).lines for name in NAMES if (each := found[golden(name).title]).count == 2
    )
    assert (kernel.log.records.lost, kernel.log.records.torn, kernel.log.overruns) == (0, 0, 0)
    assert len(kernel.heard) == 2 * len(NAMES)


async def test_a_report_that_only_silence_ends_is_told_without_another_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostlog, "SILENCE_S", 0.02)
    async with watched() as kernel:
        await kernel.say(*golden("soft-lockup").lines)
        await kernel.until(lambda: bool(kernel.heard))
        assert kernel.heard[0].first.lines == golden("soft-lockup").lines


async def test_what_is_under_way_at_the_end_is_told() -> None:
    async with watched() as kernel:
        await kernel.say(*golden("hung-task").lines)
    assert [each.first.title for each in kernel.heard] == ["INFO: task hung in vm_destroy_wait"]


async def test_a_report_goes_to_the_trial_whose_thread_it_names() -> None:
    over = threading.Event()
    vcpu = threading.Thread(target=over.wait)
    vcpu.start()
    lines = [line.replace("4025", str(vcpu.native_id)) for line in KCSAN.lines]
    async with watched() as kernel:
        now_s = time.monotonic()
        kernel.log.live_trials.begin(11, 1, now_s)
        kernel.log.live_trials.begin(12, os.getpid(), now_s)
        await kernel.say(*lines)
        await kernel.until(lambda: bool(kernel.heard))
    over.set()
    vcpu.join()
    assert kernel.heard[0].blame.trials == (12,)
    assert kernel.heard[0].blame.confidence is Confidence.CERTAIN


async def test_a_report_that_names_nobody_goes_to_all_who_were_alive_and_says_how_sure_that_is() -> None:
    ubsan = [line for line in golden("ubsan-recent").lines if "PID" not in line]
    async with watched() as kernel:
        await kernel.say(*golden("kvm-module").lines)
        await kernel.until(lambda: len(kernel.heard) == 1)
        kernel.log.live_trials.begin(1, 101, time.monotonic())
        await kernel.say(*KCSAN.lines)
        await kernel.until(lambda: len(kernel.heard) == 2)
        kernel.log.live_trials.begin(2, 102, time.monotonic())
        await kernel.say(*ubsan)
        await kernel.until(lambda: len(kernel.heard) == 3)
    blamed = [(each.blame.trials, each.blame.confidence.value) for each in kernel.heard]
    assert blamed == [((), "inconclusive"), ((1,), "likely"), ((1, 2), "inconclusive")]


async def test_a_flood_stalls_nothing_and_hides_no_report() -> None:
    drip = ["drip"] * 50_000
    async with watched() as kernel:
        flood = recorded([*drip, *KCSAN.lines, *drip], priority=6).splitlines(keepends=True)
        writer = threading.Thread(target=_pour, args=(kernel.fd, flood))
        writer.start()
        most, last = 0, 0
        while kernel.log.records.read < len(flood):
            await anyio.lowlevel.checkpoint()
            most, last = max(most, kernel.log.records.read - last), kernel.log.records.read
        writer.join()
        assert [each.first.lines for each in kernel.heard] == [KCSAN.lines]
    assert 0 < most <= hostlog._BITE  # between any two bites everything else had its turn
    assert (kernel.log.records.read, kernel.log.records.lost, kernel.log.records.torn) == (len(flood), 0, 0)


def _pour(fd: int, records: list[bytes]) -> None:
    os.set_blocking(fd, True)
    for record in records:
        os.write(fd, record)


async def test_an_overrun_is_counted_and_said_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    real, answers = os.read, iter([False, True, False, True])

    def read(fd: int, size: int) -> bytes:
        if next(answers, False):
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        return real(fd, size)

    async with watched() as kernel:
        monkeypatch.setattr(os, "read", read)
        os.write(kernel.fd, recorded(["a"], first=5))
        await kernel.until(lambda: kernel.log.records.read == 1)
        os.write(kernel.fd, recorded(KCSAN.lines, first=1005))
        await kernel.until(lambda: bool(kernel.heard))
        monkeypatch.undo()
    assert (kernel.log.overruns, kernel.log.records.lost) == (2, 999)
    assert "999 records lost (2 overruns), 0 torn: a report may have been missed" in told(kernel.log)[1]
    assert kernel.log.document()["overruns"] == 2


async def test_a_torn_record_is_counted_and_the_next_is_read() -> None:
    async with watched() as kernel:
        os.write(kernel.fd, b"4,1,2,-;half a rec")
        await anyio.lowlevel.checkpoint()
        os.write(kernel.fd, b"ord\n4,2\n" + recorded(KCSAN.lines, first=2))
        await kernel.until(lambda: bool(kernel.heard))
    assert (kernel.log.records.torn, kernel.heard[0].first.lines) == (1, KCSAN.lines)
    assert "1 torn" in told(kernel.log)[1]


async def test_nobody_can_plant_a_report() -> None:
    async with watched() as kernel:
        for priority in (12, 9, 188):
            await kernel.say(*KCSAN.lines, priority=priority)
        await kernel.until(lambda: kernel.log.records.read == 3 * len(KCSAN.lines))
    assert kernel.heard == []
    assert told(kernel.log) == [f"host kernel log: quiet, {3 * len(KCSAN.lines)} records"]


async def test_a_log_that_ends_ends_the_watch(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    log = HostLog(lambda found: None, path)
    os.close(os.open(path, os.O_WRONLY))
    await log.watch()
    log.close()
    assert log.problem == ""


async def test_a_log_that_can_be_read_no_further_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(fd: int, size: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with watched() as kernel:
        await kernel.say("a")
        await kernel.until(lambda: kernel.log.records.read == 1)
        monkeypatch.setattr(os, "read", read)
        await kernel.say("b")
        await kernel.until(lambda: bool(kernel.log.problem))
        monkeypatch.undo()
    assert told(kernel.log)[0].startswith(
        "HOST KERNEL LOG READ IN PART ONLY: it could be read no further: Input/output"
    )


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Rights that do not open other people's files."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


async def test_no_right_to_read_is_said_with_the_remedy(
    unprivileged: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = HostLog(lambda found: None, Path("/proc/1/mem"))
    await log.watch()  # returns at once
    log.close()
    (line,) = told(log)
    assert line.startswith("HOST KERNEL LOG NOT READ: /proc/1/mem: Permission denied; run as root, or sysctl")
    assert log.document()["read"] is False
    assert "Permission denied" in str(log.document()["problem"])


@pytest.mark.parametrize(
    ("path", "words"),
    [(Path("/no/such/kmsg"), "No such file or directory"), (Path("/dev/null"), "another device, as in a container")],
)
async def test_no_log_at_all_is_said(path: Path, words: str) -> None:
    log = HostLog(lambda found: None, path)
    await log.watch()
    log.close()
    assert words in told(log)[0]
    assert "NOT READ" in told(log)[0]


def records_there() -> int:
    """How many records the kernel has numbered so far."""
    last = -1
    with open(KMSG, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as kmsg:
        while (data := kmsg.read(16384)) is not None:
            last = int(data.split(b",")[1])
    return last + 1


async def test_the_real_log_is_read_from_now_on() -> None:
    if not os.access(KMSG, os.R_OK | os.W_OK):
        pytest.skip(f"{KMSG} cannot be read and written here")
    heard: list[HostFinding] = []
    before = records_there()
    log = HostLog(heard.append)
    assert log.problem == ""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.watch)
        deadline_s = time.monotonic() + 15
        while log.records.read == 0 and time.monotonic() < deadline_s:
            KMSG.write_text("<4>qstress tests its reading of the kernel's log\n")
            await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()
    log.close()
    if log.records.read == 0:
        pytest.skip("the kernel took no line of ours: printk.devkmsg is off")
    assert log.records.read <= records_there() - before
    assert (log.records.lost, log.records.torn, heard) == (0, 0, [])


async def test_several_hosts_are_told_apart_though_they_say_the_same(tmp_path: Path) -> None:
    logs, ends = {}, []
    for name in ("old", "new"):
        read_fd, fd = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
        logs[name] = HostLog(lambda finding: None, Path(f"/proc/self/fd/{read_fd}"), name)
        os.close(read_fd)
        ends.append(fd)
    logs["quiet"] = HostLog(lambda finding: None, tmp_path / "none", "quiet")
    both = HostLogs(logs)
    both.live_trials["old"].begin(7, 70, time.monotonic())
    both.live_trials["new"].begin(8, 70, time.monotonic())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(both.watch)
        for fd in ends:
            for place, text in enumerate(KCSAN.lines):
                await anyio.wait_writable(fd)
                os.write(fd, recorded([text], first=place, start_us=10 * place, priority=4))
        while len(both.reported) < 2:
            await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    both.close()
    for fd in ends:
        os.close(fd)
    document: Any = both.document()
    assert [(each["host"], each["trials"]) for each in document["reports"]] == [("old", [7]), ("new", [8])]
    assert len({each["title"] for each in document["reports"]}) == 1
    assert document["problem"].startswith("quiet: ")
    assert (document["read"], document["records"]) == (False, 2 * len(KCSAN.lines))
    assert kernel_log_lines(document)[-1].startswith("  new: 1x KCSAN: ")
    assert reports_text(both.reported).startswith("==== old: KCSAN: ")
