from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.firmware.seabios import BootLog
from qstress.model import Milestone

HEALTHY = b"""SeaBIOS (version 1.16.2-debian-1.16.2-1)
BUILD: gcc: (Debian 12.2.0-14) 12.2.0 binutils: (GNU Binutils for Debian) 2.40
No Xen hypervisor found.
Found QEMU fw_cfg
Found 4 PCI devices (max PCI bus is 00)
PCI: init bdf=00:01.3 id=8086:7113
PCI: No VGA devices found
handle_smp: apic_id=0x3
handle_smp: apic_id=0x1
handle_smp: apic_id=0x2
Found 4 cpu(s) max supported 4 cpu(s)
SeaBIOS (version 1.16.2-debian-1.16.2-1)
Booting from Hard Disk...
No bootable device.
"""


def fed(text: bytes) -> BootLog:
    log = BootLog()
    log.feed(text)
    return log


def test_a_healthy_boot_has_one_banner_and_no_restart() -> None:
    log = fed(HEALTHY)
    assert (log.milestone, log.banners, log.checkins, log.found) == (Milestone.BOOT, 1, 3, 4)
    assert log.clean
    assert not log.restart_signs
    assert not log.stuck
    assert log.last_line == "No bootable device."


@pytest.mark.parametrize(
    ("upto", "milestone"),
    [
        (b"", Milestone.START),
        (b"12.2.0", Milestone.BANNER),
        (b"PCI: No VGA devices found\n", Milestone.PCI),
        (b"apic_id=0x3\n", Milestone.CHECKIN),
        (b"max supported 4 cpu(s)\n", Milestone.FOUND),
        (b"Booting from Hard Disk...\n", Milestone.BOOT),
    ],
)
def test_milestones_come_in_order(upto: bytes, milestone: Milestone) -> None:
    text = HEALTHY[: HEALTHY.index(upto) + len(upto)] if upto else b""
    assert fed(text).milestone is milestone


def test_only_found_cpus_counts_as_found() -> None:
    assert fed(b"Found QEMU fw_cfg\nFound 4 PCI devices (max PCI bus is 00)\n").found is None


def test_a_second_banner_before_found_is_a_restart() -> None:
    before = HEALTHY[: HEALTHY.index(b"Found 4 cpu(s)")]
    assert not fed(before).restart_signs
    assert fed(before + b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\n").restart_signs


@pytest.mark.parametrize("line", [b"In resume (status=0)\n", b"Attempting a hard reboot\n"])
def test_a_resume_is_a_restart(line: bytes) -> None:
    assert fed(HEALTHY[:200] + b"\n" + line).restart_signs


def test_feed_tells_when_something_changed() -> None:
    log = BootLog()
    assert not log.feed(b"SeaBIOS (ver")
    assert log.feed(b"sion 1.16.2)\n")
    assert not log.feed(b"BUILD: gcc\n")


@given(st.lists(st.integers(0, len(HEALTHY)), max_size=20))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    log = BootLog()
    edges = [0, *sorted(cuts), len(HEALTHY)]
    for start, end in zip(edges, edges[1:], strict=False):
        log.feed(HEALTHY[start:end])
    assert log == fed(HEALTHY)


@given(st.binary(max_size=300))
def test_no_bytes_can_break_it(data: bytes) -> None:
    fed(data)
    fed(b"Found " + data + b" cpu(s) max supported \n")


BANNER = HEALTHY[:80] + b"\n"
RESUMES = b"In resume (status=0)\nIn 32bit resume\nAttempting a hard reboot\n"


@pytest.mark.parametrize("restarts", [RESUMES, RESUMES + BANNER, RESUMES + BANNER + RESUMES])
def test_after_a_reset_seabios_resets_itself_before_it_boots(restarts: bytes) -> None:
    log = BootLog(after_reset=True)
    log.feed(restarts + HEALTHY)
    assert (log.clean, log.restart_signs, log.found) == (True, (), 4)
    assert BootLog().feed(restarts)


@pytest.mark.parametrize("sign", [RESUMES, BANNER])
def test_after_a_reset_restarts_still_show_once_aps_can_be_awake(sign: bytes) -> None:
    log = BootLog(after_reset=True)
    before, _, after = HEALTHY.partition(b"handle_smp: apic_id=0x1")
    log.feed(RESUMES + before + sign + after)
    assert log.restart_signs
