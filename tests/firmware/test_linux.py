from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qstress.firmware import BY_NAME, SEABIOS, firmware_named, firmware_of, tier_of
from qstress.firmware.base import ApFault
from qstress.firmware.linux import QBOOT, kernel_arguments, with_linux
from qstress.firmware.linux_console import LinuxBoot
from qstress.firmware.ovmf import OvmfBoot
from qstress.firmware.rom import find_rom
from qstress.firmware.seabios import BootLog
from qstress.firmware.streams import Stream
from qstress.model import Accel, LinuxGuest, Tier
from qstress.report.wording import shape_text
from qstress.verdict.limits import LIKELY_FACTOR, Learned, limits
from tests.samples import shape, trial

LINUX = LinuxGuest("/k/vmlinux", "6.12.117")


def test_the_kernel_follows_the_firmware_on_the_command_line() -> None:
    arguments = firmware_of(shape(firmware="qboot", linux=LINUX)).arguments(shape(firmware="qboot", linux=LINUX), 0)
    assert arguments[:4] == ("-bios", "qboot.rom", "-kernel", "/k/vmlinux")
    assert arguments[4:] == (
        "-initrd",
        str(find_rom("linux-init")),
        "-append",
        "console=ttyS0 loglevel=7 no_timer_check",
    )


def test_what_the_user_appends_comes_after_ours_and_before_what_a_trial_asks() -> None:
    linux = replace(LINUX, append="quiet cpuhp.parallel=0", initrd="/my.img", rounds=5)
    *_, initrd, _, words = kernel_arguments(linux, Accel.KVM, 3)
    assert initrd == "/my.img"
    assert words == "console=ttyS0 loglevel=7 quiet cpuhp.parallel=0 qstress_rounds=5 maxcpus=3"


def test_an_ap_is_lost_by_telling_the_kernel_of_fewer() -> None:
    made = shape(4, linux=LINUX)
    assert firmware_of(made).arguments(made, 1)[-1].endswith(" maxcpus=3")
    assert firmware_of(made).loses_aps_itself
    assert not SEABIOS.loses_aps_itself


def test_the_gdb_stub_makes_what_the_kernel_cannot_be_told() -> None:
    kind = firmware_of(shape(linux=LINUX))
    assert kind.lost_ap is not None
    assert kind.lost_ap.faults == (ApFault.NEVER_WOKEN, ApFault.LATER_ROUND)
    assert [kind.by_gdb(fault) for fault in kind.lost_ap.faults] == [False, True]
    assert [BY_NAME["ovmf"].by_gdb(fault) for fault in kind.lost_ap.faults] == [True, True]
    assert not SEABIOS.by_gdb(ApFault.NEVER_WOKEN)


def test_it_is_read_by_what_the_guest_boots_and_after_a_reset_as_after_one() -> None:
    made = shape(4, linux=LINUX)
    first = firmware_of(made).reader(made, None)
    assert first == LinuxBoot(4)
    assert firmware_of(made).reader(made, first) == LinuxBoot(4, firmware=BootLog(after_reset=True))
    own = shape(4, linux=replace(LINUX, initrd="/my.img"))
    assert firmware_of(own).reader(own, None) == LinuxBoot(4, reports=False)


def test_behind_ovmf_all_that_it_tells_is_read() -> None:
    kind = with_linux(BY_NAME["ovmf"])
    assert kind.streams == (Stream.DEBUG, Stream.SERIAL, Stream.TRACE)
    assert with_linux(SEABIOS).streams == (Stream.DEBUG, Stream.SERIAL)
    assert kind.reader(shape(4, linux=LINUX), None) == LinuxBoot(4, firmware=OvmfBoot(4))


def test_one_firmware_with_a_kernel_is_one_value() -> None:
    assert with_linux(SEABIOS) is firmware_named("seabios", with_kernel=True) is firmware_of(shape(linux=LINUX))
    assert BY_NAME["qboot"] is QBOOT
    assert not SEABIOS.needs_kernel


def test_reports_name_the_kernel_and_what_is_before_it() -> None:
    sample = trial()
    cell = replace(sample.cell, stratum=replace(sample.cell.stratum, shape=shape(2, linux=LINUX)))
    assert shape_text(cell) == "smp 2 pc tcg linux 6.12.117 behind seabios, info registers -a @ max, T1"
    assert tier_of(cell) is Tier.T1


def test_its_deadlines_leave_the_kernel_the_time_in_which_it_waits() -> None:
    for smp, accel, learned in ((4, Accel.TCG, None), (64, Accel.KVM, Learned((0.1,) * 50, (4.0,) * 50))):
        made = limits(shape(smp, accel, linux=LINUX), learned=learned)
        assert made.quiet_s * LIKELY_FACTOR > 11
        assert made.boot_s > 10 * (smp - 1) + 60
        assert made.boot_s / 2 > 11  # what is believed of a guest in which nothing happens
    scan = replace(LINUX, rounds=1000)
    assert limits(shape(4, linux=scan)).boot_s > 3000
    assert limits(shape(4, linux=LINUX), slowness=4.0).quiet_s == 10.0


def test_the_initramfs_is_there_and_small() -> None:
    assert Path(find_rom("linux-init")).stat().st_size < 8192
