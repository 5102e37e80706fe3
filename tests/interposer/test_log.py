"""What the interposer records and how it holds, shown on a fake KVM: vCPU 0 has descriptor 100, vCPU 1 102, …"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qstress.errors import RigError
from qstress.interposer.build import environment
from qstress.interposer.log import Counters, open_log, read_counters, set_holding
from qstress.interposer.windows import LOG_BYTES, RECORDS, Log, RecordKind, WriteBack, read_log, windows, write_back
from qstress.model import Build, Smm, SmmWriteback
from tests.interposer.fake import calling, calls, copy_log
from tests.samples import build

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
AGES = 1000.0  # a hold that no test waits for
BSP, AP, OTHER = 100, 102, 104
BORN: list[list[Any]] = [["vcpu-create", []]] * 3
RUNTIME, RESET = 8, 9
VDSO_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page")


def vcpu(kind: str, *values: int) -> list[Any]:
    return [f"vcpu-{kind}", list(values)]


@pytest.fixture
def log() -> Iterator[int]:
    fd = open_log()
    yield fd
    os.close(fd)


@pytest.fixture(scope="session")
def vcpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Threads that behave as QEMU's; see ``vcpus.c``."""
    path = tmp_path_factory.mktemp("vcpus") / "vcpus"
    source = Path(__file__).with_name("vcpus.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-pthread", "-o", str(path), str(source)], check=True)
    return path


def recorded(fake: Path, log: int, *lines: list[Any], made: Build | None = None) -> list[tuple[int, RecordKind, int]]:
    """Make the calls, return vCPU, kind and value of each record."""
    answers = calls(fake, environment(made or build(), log), *lines, log_fd=log)
    assert all(answer[0] >= 0 or answer == [-errno.EAGAIN] for answer in answers)
    seen = read_log(copy_log(log))
    assert seen.torn == seen.overwritten == 0
    assert seen.head == len(seen.records)
    return [(record.vcpu, record.kind, record.value) for record in seen.records]


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.001)


def test_a_log_counts_from_zero_and_nothing_else_is_a_log(tmp_path: Path, log: int) -> None:
    assert read_counters(log) == Counters(0, 0, 0, 0)
    assert read_log(copy_log(log)) == Log()
    with (tmp_path / "other").open("w+b") as other:
        for use in (read_counters, lambda fd: set_holding(fd, True)):
            with pytest.raises(RigError, match="not an interposer's log") as caught:
                use(other.fileno())
            assert caught.value.reason == "no-log"


class TestRecords:
    def test_every_kind_with_its_value(self, fake_kvm: Path, log: int) -> None:
        before = time.monotonic_ns()
        seen = recorded(
            fake_kvm, log, *BORN, vcpu("read", AP, 1, 1), vcpu("mp", AP, 3), vcpu("cs", AP, 0xF000),
            vcpu("rip", AP, 0xFFF0), vcpu("write", AP, RUNTIME), vcpu("run", AP, 0), vcpu("cs2", BSP, 0x10),
            vcpu("rip", BSP, 0x1_2345_6789), vcpu("write", BSP, RESET),
        )  # fmt: skip
        assert seen == [
            (1, RecordKind.READ, 0x101),
            (1, RecordKind.MP_STATE, 3),
            (1, RecordKind.WRITE, 0xFFF0_F000_0808),
            (1, RecordKind.RUN, 0),
            (0, RecordKind.WRITE, 0x2345_6789_0010_0909),
        ]
        records = read_log(copy_log(log)).records
        assert before <= records[0].ns <= records[-1].ns <= time.monotonic_ns()
        assert write_back(records[2]).at_reset_vector
        assert write_back(records[4]) == WriteBack(records[4].ns, 9, 9, 0x10, 0x2345_6789)

    def test_flags_as_asked_and_as_passed(self, fake_kvm: Path, log: int) -> None:
        fixed = build(smm=Smm.PRETENDED, smm_writeback=SmmWriteback.RESET_ONLY)
        seen = recorded(fake_kvm, log, *BORN, vcpu("write", AP, 0xC), vcpu("write", AP, 0xD), made=fixed)
        assert [value for _, _, value in seen] == [0x40C, 0xD0D]

    def test_only_the_first_run_after_a_look_is_recorded(self, fake_kvm: Path, log: int) -> None:
        runs = [vcpu("run", AP, 0)] * 3
        seen = recorded(fake_kvm, log, *BORN, *runs, vcpu("read", AP, 0, 0), *runs, vcpu("write", AP, RUNTIME), *runs)
        assert [kind for _, kind, _ in seen] == [RecordKind.READ, RecordKind.RUN, RecordKind.WRITE, RecordKind.RUN]

    def test_an_ap_that_was_woken(self, fake_kvm: Path, log: int) -> None:
        seen = recorded(fake_kvm, log, *BORN, vcpu("run", BSP, errno.EAGAIN), vcpu("run", AP, errno.EAGAIN))
        assert seen == [(1, RecordKind.WOKEN, 0)]

    def test_what_is_no_vcpu_and_a_call_that_fails_leave_nothing(self, fake_kvm: Path, log: int) -> None:
        env = environment(build(), log)
        lines = [*BORN, vcpu("read", 103, 0, 0), vcpu("run", 99, 0), vcpu("run", -1, 0), vcpu("run", 1 << 30, 0)]
        calls(fake_kvm, env, *lines, vcpu("run", AP, errno.EINTR), log_fd=log)
        assert read_log(copy_log(log)) == Log()

    def test_many_threads_and_a_reader_at_once(self, fake_kvm: Path, vcpus: Path, log: int) -> None:
        """Each WRITE carries its thread in CS and EIP: a mixture of two records would show."""
        env = environment(build(), log)
        env["LD_PRELOAD"] += f":{fake_kvm}"
        seen = most = 0
        with subprocess.Popen([vcpus, "8", "20000"], env=env, pass_fds=(log,), stdout=subprocess.DEVNULL) as process:
            ended = False
            while not ended:
                ended = process.poll() is not None
                part = read_log(copy_log(log), seen)
                for record in part.records:
                    if record.kind is RecordKind.WRITE:
                        written = write_back(record)
                        assert written.cs == written.eip % 256 == record.vcpu
                assert part.head >= seen
                seen, most = part.head, max(most, len(part.records))
        assert process.returncode == 0
        assert most > 0
        last = read_log(copy_log(log))
        assert last.head == 8 * 20000 * 4
        assert len(last.records) + last.torn == RECORDS
        assert {record.vcpu for record in last.records} <= set(range(8))

    def test_it_takes_no_system_call(self, fake_kvm: Path, vcpus: Path, log: int) -> None:
        clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
        if clock not in VDSO_CLOCKS:
            pytest.skip(f"reading the clock {clock!r} is a system call on this host")
        env = environment(build(), log)
        env["LD_PRELOAD"] += f":{fake_kvm}"
        done = subprocess.run(
            [vcpus, "1", "1000", "sealed"], env=env, pass_fds=(log,), stdout=subprocess.PIPE, check=True
        )
        print(f"{float(done.stdout)} ns a call")
        assert read_log(copy_log(log)).head == 4000


class TestHold:
    def held(self, log: int) -> list[tuple[int, int]]:
        """Who is held, and before a write (1) or a read (0)."""
        seen = read_log(copy_log(log)).records
        return [(record.vcpu, record.value) for record in seen if record.kind is RecordKind.HELD]

    @pytest.mark.parametrize(
        ("held", "line", "value"),
        [
            pytest.param(build(hold_write_s=AGES), vcpu("write", AP, RUNTIME), 1, id="write"),
            pytest.param(build(hold_read_s=AGES), vcpu("read", AP, 0, 0), 0, id="read"),
            pytest.param(build(hold_until_checkin_s=AGES), vcpu("write", AP, RUNTIME), 1, id="until-checkin"),
        ],
    )
    def test_lasts_until_it_is_released_and_then_ends_at_once(
        self, fake_kvm: Path, log: int, held: Build, line: list[Any], value: int
    ) -> None:
        set_holding(log, True)
        with calling(fake_kvm, environment(held, log), *BORN, line, log_fd=log) as process:
            until(lambda: self.held(log) == [(1, value)])
            assert len(read_log(copy_log(log)).records) == 1
            released = time.monotonic_ns()
            set_holding(log, False)
            assert process.wait() == 0
        (after,) = read_log(copy_log(log)).records[1:]
        print(f"released within {(after.ns - released) / 1000:.0f} us")
        assert after.kind is (RecordKind.WRITE if value else RecordKind.READ)

    def test_a_short_one_ends_by_itself_and_is_part_of_the_window(self, fake_kvm: Path, log: int) -> None:
        set_holding(log, True)
        lines = [vcpu("read", AP, 0, 0), vcpu("write", AP, RUNTIME)]
        kinds = [kind for _, kind, _ in recorded(fake_kvm, log, *BORN, *lines, made=build(hold_write_s=0.002))]
        assert kinds == [RecordKind.READ, RecordKind.HELD, RecordKind.WRITE]
        (window,) = windows(read_log(copy_log(log)))
        assert window.written is not None
        assert window.written.ns - window.read_ns >= 2_000_000

    def test_never_the_boot_cpu_nor_a_reset_nor_an_ap_whose_init_came(self, fake_kvm: Path, log: int) -> None:
        set_holding(log, True)
        held = build(hold_write_s=AGES, hold_read_s=AGES, hold_until_checkin_s=AGES)
        lines = [
            vcpu("read", BSP, 0, 0), vcpu("write", BSP, RUNTIME), vcpu("write", AP, RESET), vcpu("mp", AP, 0),
            vcpu("read", AP, 0, 0), vcpu("write", AP, RUNTIME), vcpu("run", OTHER, errno.EAGAIN),
            vcpu("read", OTHER, 0, 0), vcpu("write", OTHER, RUNTIME),
        ]  # fmt: skip
        recorded(fake_kvm, log, *BORN, *lines, made=held)
        assert self.held(log) == []

    def test_nobody_before_qstress_says_so(self, fake_kvm: Path, log: int) -> None:
        recorded(fake_kvm, log, *BORN, vcpu("write", AP, RUNTIME), made=build(hold_write_s=AGES))
        assert self.held(log) == []

    def test_again_after_a_reset(self, fake_kvm: Path, log: int) -> None:
        set_holding(log, True)
        write = vcpu("write", AP, RUNTIME)
        recorded(fake_kvm, log, *BORN, vcpu("mp", AP, 3), write, vcpu("write", AP, RESET), vcpu("mp", AP, 1), write,
                 made=build(hold_write_s=0.001))  # fmt: skip
        assert self.held(log) == [(1, 1)]

    def test_one_ap_a_bring_up_is_kept_until_a_checkin(self, fake_kvm: Path, log: int) -> None:
        """In one thread nobody can check in meanwhile, so the bound passes; the second AP goes free."""
        set_holding(log, True)
        both = [vcpu("write", AP, RUNTIME), vcpu("write", OTHER, RUNTIME)]
        recorded(fake_kvm, log, *BORN, *both, vcpu("write", BSP, RESET), *both, made=build(hold_until_checkin_s=0.001))
        assert self.held(log) == [(1, 1), (1, 1)]

    def test_whom_a_checkin_came_before_is_not_kept(self, fake_kvm: Path, log: int) -> None:
        set_holding(log, True)
        lines = [vcpu("run", OTHER, errno.EAGAIN), vcpu("write", AP, RUNTIME)]
        seen = recorded(fake_kvm, log, *BORN, *lines, made=build(hold_until_checkin_s=AGES))
        assert [kind for _, kind, _ in seen] == [RecordKind.WOKEN, RecordKind.HELD, RecordKind.WRITE]

    def test_without_a_log_it_holds_as_well(self, fake_kvm: Path) -> None:
        """As in a reproducer: nobody could set it off. The time is the caller's own."""
        began = time.monotonic()
        calls(fake_kvm, environment(build(hold_write_s=0.2)), *BORN, vcpu("write", AP, RUNTIME))
        assert time.monotonic() - began >= 0.2


def test_records_are_those_of_the_reader(fake_kvm: Path, log: int) -> None:
    """The C side's numbers are the Python side's: one pair of calls, one window."""
    recorded(
        fake_kvm, log, *BORN, vcpu("read", AP, 1, 0), vcpu("mp", AP, 0), vcpu("write", AP, 0xC), vcpu("run", AP, 0)
    )
    data = copy_log(log)
    with mmap.mmap(log, 0, prot=mmap.PROT_READ) as memory, memoryview(memory) as view:
        assert len(view) == LOG_BYTES
        assert read_log(view) == read_log(data)
    (window,) = windows(read_log(data))
    assert (window.vcpu, window.latched_init, window.mp_state) == (1, True, 0)
    assert window.written is not None
    assert (window.written.asked, window.written.passed) == (0xC, 0xC)
    assert window.read_ns <= window.written.ns
