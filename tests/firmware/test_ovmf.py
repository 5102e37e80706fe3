"""OVMF's reader; live boots are in tests/live/test_ovmf.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.firmware import OVMF, firmware_of
from qstress.firmware.ovmf import OvmfBoot
from qstress.firmware.streams import Stream
from qstress.model import Confidence, FindingClass, Milestone, Outcome, Verdict
from tests.firmware.judging import judged
from tests.samples import shape

PAIR = ("/x/CODE.fd", "/x/VARS.fd")


def item(key: int, name: str = "unknown") -> bytes:
    """A line as QEMU 7.2 to 11.1 traces it."""
    return f"fw_cfg_select 0x5602149395e0 key 0x{key:04x} '{name}', ret: 1\n".encode()


#: What a 2022.11 and a 2025.02 ask for, and a 2026.08, each shortened to what differs.
BEFORE = item(0, "signature") + item(1, "id") + item(0x19, "file_dir") + item(0x2B) + item(0x25) + item(5, "nb_cpus")
AFTER = item(0x19, "file_dir") + item(0x25)
DXE, DXE_2026 = item(0, "signature") + item(0x26), item(0x26)
MENU = b'\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001 "EFI Internal Shell" from Fv\r\nBdsDxe: starting Boot0001\r\n'
NOTHING = b"BdsDxe: No bootable option or device was found.\r\n"


def fed(*said: tuple[bytes, Stream] | bytes, smp: int = 4) -> OvmfBoot:
    """A boot of which QEMU's trace, or another stream, told so much, a byte at a time."""
    log = OvmfBoot(smp)
    for each in said:
        data, stream = each if isinstance(each, tuple) else (each, Stream.TRACE)
        for byte in data:
            log.feed(bytes((byte,)), stream)
    return log


def verdict_on(log: OvmfBoot, *, resets: int = 0) -> Verdict:
    """The verdict on it as it is now."""
    verdict = judged(log, [b""], resets=resets)
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("said", "milestone", "checkins"),
    [
        ((), Milestone.START, 0),
        ((item(0, "signature"),), Milestone.BANNER, 0),
        ((BEFORE,), Milestone.PCI, 0),
        ((BEFORE, AFTER), Milestone.PCI, 0),
        ((BEFORE, AFTER, DXE), Milestone.CHECKIN, 3),
        ((BEFORE, DXE_2026), Milestone.CHECKIN, 3),
    ],
)
def test_what_it_asks_qemu_for_tells_how_far_it_is(
    said: tuple[bytes, ...], milestone: Milestone, checkins: int
) -> None:
    log = fed(*said)
    assert (log.milestone, log.checkins, log.found, log.restart_signs) == (milestone, checkins, None, ())


@pytest.mark.parametrize("said", [MENU, NOTHING])
def test_it_is_up_once_it_looks_for_something_to_boot(said: bytes) -> None:
    log = fed(BEFORE, AFTER, DXE, (said, Stream.SERIAL))
    assert (log.found, log.milestone >= Milestone.FOUND, log.checkins) == (4, True, 3)
    assert log.last_line.startswith("BdsDxe: ")
    verdict = verdict_on(log)
    assert (verdict.outcome, verdict.title) == (Outcome.OK, "Found 4 cpu(s)")


def test_without_a_trace_the_serial_port_suffices() -> None:
    assert fed((MENU, Stream.SERIAL)).found == 4
    assert fed((b"UEFI Interactive Shell\r\n", Stream.SERIAL)).found is None


def test_what_comes_on_another_stream_is_no_sign() -> None:
    assert fed((BEFORE, Stream.SERIAL), (MENU, Stream.DEBUG)).milestone is Milestone.START


def test_the_number_of_cpus_asked_for_again_is_a_replayed_init() -> None:
    log = fed(BEFORE, AFTER, BEFORE)
    assert log.restart_signs == ("OVMF asked for the number of CPUs 2 times: a CPU ran it again from its start",)
    verdict = verdict_on(log)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.CERTAIN)
    after_a_reset = verdict_on(fed(BEFORE, AFTER, BEFORE, DXE, (MENU, Stream.SERIAL)), resets=1)
    assert (after_a_reset.finding_class, after_a_reset.confidence) == (FindingClass.REPLAYED_INIT, Confidence.LIKELY)


def test_what_is_asked_for_by_what_it_boots_is_no_part_of_the_bring_up() -> None:
    assert fed(BEFORE, DXE, (MENU, Stream.SERIAL), BEFORE).restart_signs == ()


def test_a_guest_has_the_code_and_a_copy_of_the_variables_of_its_own() -> None:
    arguments = OVMF.arguments(replace(shape(firmware="ovmf"), pflash=("/x/a,b.fd", "/x/V.qcow2")), 0)
    assert arguments == (
        "-drive", "if=pflash,unit=0,readonly=on,format=raw,file=/x/a,,b.fd",
        "-drive", "if=pflash,unit=1,snapshot=on,format=qcow2,file=/x/V.qcow2",
    )  # fmt: skip


def test_its_reader_begins_anew_after_a_reset() -> None:
    of = shape(8, firmware="ovmf", pflash=PAIR)
    assert firmware_of(of).reader(of, fed(BEFORE)) == OvmfBoot(8)


@pytest.mark.parametrize("line", ["\x00\x07BdsDxe: x", "€"])
def test_what_a_guest_prints_reaches_nobody_as_more_than_text(line: str) -> None:
    said = fed((line.encode() + b"\n", Stream.SERIAL)).last_line
    assert said.isprintable()
