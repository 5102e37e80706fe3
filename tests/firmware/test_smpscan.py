"""smpscan's options, where its CPUs are, and its wait (its console: test_smpscan_console)."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from qstress.errors import ConfigError
from qstress.firmware.rom import find_rom
from qstress.firmware.smpscan import SMPSCAN, TABLE, SmpscanOptions, option_arguments
from qstress.firmware.smpscan_console import SmpscanProgress, SmpscanSeries
from qstress.model import Accel, Shape, VcpuState
from tests.firmware.asking import found
from tests.firmware.locations import LOCATIONS, CpuLocation, cpu_location
from tests.samples import running, shape


def test_options_are_numbers_in_the_roms_order() -> None:
    assert option_arguments(SmpscanOptions(after="reset", leave_out=3, every=10)) == (
        "-fw_cfg",
        (
            "name=opt/qstress/options,string=deadline_us=50000 after=1 missing=0 rounds=0 leave_out=3 every=10 "
            "payload=0 storm_us=0 settle_us=0"
        ),
    )


def test_a_shape_with_a_storm_gets_one_after_each_bringup() -> None:
    shape = Shape(4, "pc", Accel.TCG, 32 << 20, "smpscan", restart="reset", storm_s=0.02)
    assert SMPSCAN.arguments(shape, 0)[-1].endswith(
        "after=1 missing=0 rounds=0 leave_out=0 every=1 payload=2 storm_us=20000 settle_us=0"
    )
    assert SMPSCAN.arguments(replace(shape, storm_s=0.0), 0)[-1].endswith("payload=0 storm_us=0 settle_us=0")


def test_a_shape_that_settles_says_for_how_long() -> None:
    shape = Shape(4, "pc", Accel.KVM, 32 << 20, "smpscan", settle_s=0.0015)
    assert SMPSCAN.arguments(shape, 0)[-1].endswith(" settle_us=1500")


def test_no_options_name_has_a_digit_or_a_comma() -> None:
    # The ROM takes every run of digits as the next number; QEMU would split at a comma.
    assert not any(character.isdigit() for option in fields(SmpscanOptions) for character in option.name)
    assert option_arguments(SmpscanOptions())[1].count(",") == 1


@pytest.mark.parametrize("options", [SmpscanOptions(rounds=-1), SmpscanOptions(deadline_us=1 << 32)])
def test_what_does_not_fit_is_refused(options: SmpscanOptions) -> None:
    with pytest.raises(ConfigError, match="must be from 0 to"):
        option_arguments(options)


def test_a_lost_ap_is_the_last_one_of_every_nth_bringup() -> None:
    words = SMPSCAN.arguments(shape(4, firmware="smpscan"), 3)
    assert words[:2] == ("-bios", str(find_rom("smpscan")))
    assert " leave_out=3 every=3 " in words[-1]
    assert " leave_out=0 every=1 " in SMPSCAN.arguments(shape(4, firmware="smpscan"), 0)[-1]


def at(cs_base: int, eip: int, selector: int = 0xF000) -> VcpuState:
    return VcpuState(0, eip, selector, cs_base, halted=False, smm=False, interrupts=False)


@pytest.mark.parametrize(
    ("vcpu", "expected"),
    [
        (at(0xFFFF0000, 0xFFF0), CpuLocation.RESET_VECTOR),
        (at(0, 0xF1036, 8), CpuLocation.WAITING),
        (at(0, 0xF1102, 8), CpuLocation.STOPPED),
        (at(0xF0000, 0x1202), CpuLocation.CHECKED_IN),
        (at(0xF0000, 0x1280), CpuLocation.CHECKED_IN),
        (at(0xFFFF0000, 0x1302), CpuLocation.REPLAYED),
        (at(0, 0xF1402, 8), CpuLocation.STORMING),
        (at(0, 0xF1513, 8), CpuLocation.STORMING),
        (at(0xF0000, 0x1302), None),
        (at(0x10000, 0, 0x1000), None),
    ],
)
def test_a_dump_tells_where_a_cpu_is(vcpu: VcpuState, expected: CpuLocation | None) -> None:
    assert cpu_location(vcpu) is expected


def test_locations_do_not_overlap() -> None:
    starts = sorted(LOCATIONS.values(), key=lambda addresses: addresses.start)
    assert all(low.stop <= high.start for low, high in zip(starts, starts[1:], strict=False))


def test_it_waits_in_a_page_of_its_own_or_where_it_says_so() -> None:
    waiting, elsewhere, ebx = running(0, 0xF1020), running(0, 0xF067D), "CPU#0\nEAX=1 EBX=00000004 \n"
    counted = found(SMPSCAN.wait, waiting, ebx)
    assert counted is not None
    assert (counted.expected, counted.address, counted.size) == (4, TABLE, 64)
    assert counted.read(b"\1\2\0\1") == 3
    assert found(SMPSCAN.wait, waiting, "CPU#0\n") is None
    assert found(SMPSCAN.wait, elsewhere, ebx) is None
    assert found(SMPSCAN.wait, elsewhere, ebx, stuck=True) is not None
    many = found(SMPSCAN.wait, waiting, ebx, smp=1000)
    assert many is not None
    assert many.size == 4096


def test_one_that_resets_itself_is_read_in_a_series_that_goes_on_after_a_reset_from_outside() -> None:
    alone, itself = shape(4, firmware="smpscan"), shape(4, firmware="smpscan", restart="reset")
    assert isinstance(SMPSCAN.reader(alone, None), SmpscanProgress)
    series = SMPSCAN.reader(itself, None)
    series.feed(b"smpscan 1 cpus=4 ids=4 khz=2600000 rounds=0\n()(")
    again = SMPSCAN.reader(itself, series)
    assert isinstance(again, SmpscanSeries)
    assert (again.cpus, list(again.over)) == (4, [])
