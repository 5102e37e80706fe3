from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstress.firmware.seabios import SEABIOS, BootLog
from qstress.model import Confidence, FindingClass, Milestone, Outcome
from tests.firmware.asking import found
from tests.firmware.judging import every_byte, judged, pieces
from tests.samples import running

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


#: Consoles of any order of lines that mean something, some with restarts where none may be, some cut short.
CONSOLES = st.tuples(
    st.lists(
        st.sampled_from([*HEALTHY.splitlines(True), *RESUMES.splitlines(True), BANNER, b"\xff\n", b"x" * 5000]),
        max_size=30,
    ).map(b"".join)
    | st.tuples(st.integers(0, len(HEALTHY)), st.sampled_from([RESUMES, BANNER, RESUMES + HEALTHY])).map(
        lambda put: HEALTHY[: put[0]] + b"\n" + put[1] + HEALTHY[put[0] :]
    ),
    st.binary(max_size=3),
).map(b"".join)
CUTS = st.lists(st.integers(0, 1500), max_size=20)


@settings(deadline=None)  # on a busy host
@given(CONSOLES, CUTS, st.integers(0, 1), st.booleans())
def test_how_a_console_was_cut_into_reads_changes_neither_its_facts_nor_the_verdict(
    text: bytes, cuts: list[int], resets: int, after_reset: bool
) -> None:
    whole, cut = BootLog(after_reset=after_reset), BootLog(after_reset=after_reset)
    whole.feed(text)
    for data in pieces(text, cuts):
        cut.feed(data)
    assert cut == whole
    line_by_line = text.splitlines(keepends=True)
    expected = judged(BootLog(after_reset=after_reset), line_by_line, resets=resets)
    for reads in (pieces(text, cuts), [text], every_byte(text)):
        assert judged(BootLog(after_reset=after_reset), reads, resets=resets) == expected


@pytest.mark.parametrize("said", [b"In resume (status=0)\n", b"Attempting a hard reboot\n", RESUMES + HEALTHY])
@pytest.mark.parametrize("after", [b"Found 4 cpu(s) max supported 4 cpu(s)\n", b"Booting from Hard Disk...\n"])
def test_what_is_said_after_all_were_found_belongs_to_a_later_boot(after: bytes, said: bytes) -> None:
    log = fed(HEALTHY[: HEALTHY.index(after) + len(after)] + said)
    assert (log.found, log.clean, log.restart_signs, log.checkins) == (4, True, (), 3)
    verdict = judged(BootLog(), [HEALTHY + said])
    assert verdict is not None
    assert (verdict.outcome, verdict.title) == (Outcome.OK, "Found 4 cpu(s)")


def test_a_restart_before_found_is_certain_whatever_the_same_read_goes_on_to_say() -> None:
    before = HEALTHY[: HEALTHY.index(b"handle_smp: apic_id=0x1")]
    verdict = judged(BootLog(), [before + RESUMES + HEALTHY])
    assert verdict is not None
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.CERTAIN)
    assert verdict.because == ("SeaBIOS says In resume: a CPU entered it at the reset vector",)
    assert verdict.signature == "replayed-init/checkin"


def test_its_wait_is_found_by_its_code() -> None:
    code = bytes.fromhex("3b1d40520f00741f892500520f00c70518520f0000000000f390f00fba2d18520f000072f3ebd9")
    boot_cpu, ebx = running(0, 0xEE2E1), "CPU#0\nEBX=00000004 \n"
    counted = found(SEABIOS.wait, boot_cpu, ebx, memory={0xEE2E1 - 6: code})
    assert counted is not None
    assert (counted.expected, counted.address, counted.size, counted.read(b"\3\0\0\0")) == (4, 0xF5240, 4, 3)
    assert found(SEABIOS.wait, boot_cpu, ebx, stuck=True) is None
    assert found(SEABIOS.wait, boot_cpu, "CPU#0\n", memory={0xEE2E1 - 6: code}) is None
