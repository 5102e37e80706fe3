from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.firmware.linux_console import LinuxBoot, Said, cpu_list
from qstress.firmware.ovmf import OvmfBoot
from qstress.firmware.seabios import BootLog
from qstress.firmware.streams import Stream
from qstress.model import Milestone
from tests.firmware.judging import every_byte, pieces
from tests.firmware.linux_texts import (
    ALIVE,
    FAILED,
    FIRMWARE,
    KERNEL,
    LATER_REPORT,
    MISSING,
    MISSING_REPORT,
    PANIC,
    REPORT,
    UP,
    booted,
)


def test_a_healthy_boot_is_found_when_init_has_said_all() -> None:
    log = LinuxBoot(4)
    seen = []
    for data, stream in (
        (FIRMWARE[:80], Stream.DEBUG), (FIRMWARE[80:], Stream.DEBUG), (KERNEL[:200], Stream.SERIAL),
        (UP[200:], Stream.SERIAL), (REPORT.removesuffix(b"end\n"), Stream.DEBUG), (b"end\n", Stream.DEBUG),
    ):  # fmt: skip
        log.feed(data, stream)
        seen.append(log.milestone)
    assert seen == [Milestone.PCI] * 3 + [Milestone.CHECKIN] * 2 + [Milestone.FOUND]
    assert (log.found, log.missing, log.stuck, log.clean, log.restart_signs) == (4, (), False, True, ())
    assert (log.init.release, log.init.present, log.init.up_s) == ("6.12.117+deb13-amd64", (0, 1, 2, 3), 4.458)
    assert (log.kernel.unwell, log.kernel.crashed, log.kernel.not_woken) == ((), (), ())
    assert log.checkins == 3


@pytest.mark.parametrize("first", [Stream.SERIAL, Stream.DEBUG])
def test_which_stream_is_read_first_makes_no_difference(first: Stream) -> None:
    log = LinuxBoot(4)
    streams = {Stream.SERIAL: MISSING, Stream.DEBUG: FIRMWARE + MISSING_REPORT}
    log.feed(streams[first], first)
    (other,) = set(streams) - {first}
    log.feed(streams[other], other)
    assert (log.missing, log.stuck, log.restart_signs, log.found) == ((3,), True, (), None)
    assert log.kernel.not_woken == (Said(10.912949, "CPU3 failed to report alive state"),)


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_how_it_is_cut_into_reads_makes_no_difference(cuts: list[int]) -> None:
    log = LinuxBoot(4)
    for data in pieces(FIRMWARE + LATER_REPORT, cuts):
        log.feed(data)
    for data in pieces(UP, cuts):
        log.feed(data, Stream.SERIAL)
    assert log == booted(UP, FIRMWARE + LATER_REPORT)


def test_every_byte_of_news_is_told_once() -> None:
    log = LinuxBoot(4)
    assert sum(log.feed(data) for data in every_byte(FIRMWARE)) == 2  # it starts, PCI
    assert sum(log.feed(data, Stream.SERIAL) for data in every_byte(UP)) == 3  # it starts, wakes them, has them
    assert sum(log.feed(data) for data in every_byte(REPORT)) == 1  # its end


def test_before_init_reports_the_kernels_own_word_names_who_is_missing() -> None:
    for line in (ALIVE, FAILED):
        log = booted(KERNEL + line, FIRMWARE)
        assert (log.missing, log.stuck, log.found) == ((3,), False, None)
        assert [log.kernel.waited_s(said) for said in log.kernel.not_woken] == [pytest.approx(10.3, abs=0.1)]


def test_the_wait_for_the_second_of_two_counts_from_the_first() -> None:
    log = booted(KERNEL + ALIVE + b"[   20.912949] CPU2 failed to report alive state\n", FIRMWARE)
    assert log.missing == (2, 3)
    assert log.kernel.waited_s(log.kernel.not_woken[1]) == pytest.approx(10.0)
    assert log.kernel.waited_s(Said(None, "no times")) is None


def test_a_cpu_that_is_missing_without_a_word_is_seen_in_the_report() -> None:
    log = booted(UP.replace(b"4 CPUs", b"3 CPUs"), FIRMWARE + REPORT.replace(b"online=0-3", b"online=0-2"))
    assert (log.missing, log.kernel.not_woken, log.stuck) == ((3,), (), True)


def test_one_that_does_not_come_on_again_is_missing_in_its_round() -> None:
    log = booted(debug=FIRMWARE + LATER_REPORT)
    assert (log.init.round, log.init.refused, log.missing, log.stuck) == (3, ((2, 5),), (2,), True)


def test_rounds_are_news_and_the_boot_is_found_after_the_last() -> None:
    log = booted(debug=FIRMWARE + REPORT.removesuffix(b"qstress end\n"))
    assert log.feed(b"qstress round 1 up=5.010 online=0-3\n")
    assert log.found is None
    assert log.feed(b"qstress end\n")
    assert log.found == 4


def test_with_an_initramfs_of_the_users_the_kernel_is_believed() -> None:
    assert booted(UP, FIRMWARE, reports=False).found == 4
    log = booted(MISSING, FIRMWARE, reports=False)
    assert (log.found, log.missing, log.stuck) == (None, (3,), True)
    silent = booted(UP.replace(b"4 CPUs", b"3 CPUs"), FIRMWARE, reports=False)
    assert (silent.found, silent.missing, silent.stuck) == (None, (), True)
    one = booted(UP.replace(b"4 CPUs", b"1 CPU"), FIRMWARE, smp=1, reports=False)
    assert one.found == 1


def test_a_restart_shows_on_either_stream() -> None:
    assert booted(UP + KERNEL).restart_signs == ("Linux started 2 times",)
    assert not booted(UP + KERNEL).clean
    again = booted(debug=FIRMWARE + b"In resume (status=0)\n")
    assert again.restart_signs == ("a CPU entered the firmware after the kernel had been loaded",)
    assert not again.clean  # so that it is not believed at once: it may be a reset's doing
    assert booted(debug=FIRMWARE + FIRMWARE[:40] + b"\n").restart_signs == again.restart_signs
    assert booted(debug=FIRMWARE.replace(b"Found", b"In resume (status=0)\nFound", 1)).restart_signs


def test_behind_ovmf_its_phases_and_its_second_run_are_seen() -> None:
    log = LinuxBoot(4, firmware=OvmfBoot(4))
    assert log.clean
    asked = b"fw_cfg_select 0x5 key 0x0005 'nb_cpus', ret: 1\n"
    assert log.feed(asked, Stream.TRACE)
    assert log.milestone is Milestone.PCI
    log.feed(UP, Stream.SERIAL)
    log.feed(REPORT)
    assert (log.found, log.restart_signs, log.clean) == (4, (), True)
    log.feed(asked, Stream.TRACE)
    assert log.restart_signs == ("OVMF asked for the number of CPUs 2 times: a CPU ran it again from its start",)


def test_after_a_reset_from_outside_the_firmwares_own_resets_do_not_count() -> None:
    log = LinuxBoot(4, firmware=BootLog(after_reset=True))
    log.feed(b"In resume (status=0)\n" + FIRMWARE + REPORT)
    assert (log.restart_signs, log.clean, log.found) == ((), True, 4)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (PANIC, "crashed"),
        (b"[  1.0] BUG: kernel NULL pointer dereference, address: 0000000000000008\n", "crashed"),
        (b"[  1.0] Oops: 0000 [#1] PREEMPT SMP NOPTI\n", "crashed"),
        (b"[  1.0] kernel BUG at mm/slub.c:4000!\n", "crashed"),
        (b"[  1.0][    T1] watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [swapper/2:0]\n", "unwell"),
        (b"[  1.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n", "unwell"),
        (b"[  1.0] WARNING: CPU: 1 PID: 1 at kernel/cpu.c:1 f+0x1/0x2\n", "unwell"),
        (b"[  1.0] INFO: task init:1 blocked for more than 120 seconds.\n", "unwell"),
        (b"[  1.0] clocksource: timekeeping watchdog: Marking clocksource 'tsc' as unstable\n", ""),
        (b"[  1.0] rcu: Hierarchical RCU implementation.\n", ""),
    ],
)  # fmt: skip
def test_what_a_kernel_complains_of(line: bytes, kind: str) -> None:
    log = booted(UP + line)
    told = {name for name in ("crashed", "unwell", "not_woken") if getattr(log.kernel, name)}
    assert told == ({kind} if kind else set())


def test_a_complaint_on_the_console_and_in_the_report_is_one() -> None:
    log = booted(MISSING, FIRMWARE + MISSING_REPORT)
    assert len(log.kernel.not_woken) == 1
    assert log.kernel.starts == 1


def test_an_init_that_cannot_report_says_why() -> None:
    log = booted(UP + b"qstress-init: this kernel lets no program at I/O ports\n", FIRMWARE)
    assert log.init.broken == "this kernel lets no program at I/O ports"


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_bytes_make_it_raise_or_grow(debug: bytes, serial: bytes) -> None:
    log = booted(serial * 30, debug * 30)
    assert len(log.last_line) <= 200
    assert len(log.kernel.crashed) <= 50


def test_the_kernels_lists_of_cpus() -> None:
    assert cpu_list("0-1,3,8-9") == (0, 1, 3, 8, 9)
    assert cpu_list("0") == (0,)
    assert cpu_list("3-1,x,-") == ()
    assert len(cpu_list("0-999999999,0-999999999")) == 8192
