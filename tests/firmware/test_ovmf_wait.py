"""OVMF's two waits, by made-up pages and the bytes of its loops; of living guests: tests/live/test_ovmf.py."""

from __future__ import annotations

import pytest

from qstress.firmware.ovmf_wait import PAGE_BYTES, OvmfWait, first_round_found, parked_signal
from qstress.model import VcpuState
from tests.firmware.asking import found
from tests.samples import at_reset, running

PAGE, EIP = 0x9F000, 0x7ECA669
START = bytes.fromhex("6689c58cc88ed88ec08ed031c08ee08ee8be")
SENT, INIT = "ICR\t 0x000c469f physical edge\r\n", "ICR\t 0x000c4500 physical edge\r\n"
#: Where the structure begins, how far its second address is, its word, ApIndex and InitFlag, as measured with edk2
#: 2022.11 in IA32 and X64 (2025.02 has the same), 2026.08 in X64, and as derived from that for IA32.
LAYOUTS = {
    "IA32, 2022.11": (0x59, 0x10, 4, 8, 28),
    "X64, 2022.11 and 2025.02": (0x65, 0x20, 8, 16, 56),
    "X64, 2026.08": (0x7C, 0x18, 8, -28, 48),
    "IA32, derived": (0x6C, 0x0C, 4, -24, 24),
}
#: The loops: where they were seen, their bytes, and which register holds the address of the word.
LOOPS = {
    "X64 PEI, 2022.11 2M and 2025.02": ("ba5354415089d0f00fb11785c07404f390ebf2", "EDI"),
    "X64 PEI, 2026.08": ("b853544150f00fb10785c07404f390ebef", "EDI"),
    "IA32 PEI, 2022.11 4M": ("bb5354415089d8f00fb11985c074e4f390ebf2", "ECX"),
    "X64 DXE, 2022.11 4M": ("89f0f00fb13185c074d3f390ebf2", "ECX"),
}


def page(layout: str, index: int, first: int = 1, address: int = PAGE) -> bytes:
    """The page at the SIPI's vector while a round waits."""
    begin, apart, word, index_at, first_at = LAYOUTS[layout]
    made = bytearray(PAGE_BYTES)
    made[: len(START)] = START
    made[18:20], made[24:26] = begin.to_bytes(2, "little"), (begin + apart).to_bytes(2, "little")
    made[begin : begin + word] = address.to_bytes(word, "little")
    made[begin + index_at : begin + index_at + 4] = index.to_bytes(4, "little")
    made[begin + first_at : begin + first_at + 4] = first.to_bytes(4, "little")
    return bytes(made)


def dump(*stacks: int, cr0: str = "00000033") -> str:
    """Registers of all vCPUs, as far as they are asked for; the boot CPU's stack comes first."""
    return "".join(
        f"\r\nCPU#{index}\r\nESI=00000000 EDI=00000000 EBP=00000000 ESP={stack:08x}\r\n"
        f"EIP=07ec9d57 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT={int(index > 0)}\r\n"
        f"CS =0010 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\r\nCR0={cr0} CR2=00000000\r\n"
        for index, stack in enumerate(stacks)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("missing", [1, 2, 3])
def test_in_the_first_round_the_wake_up_page_holds_its_count(layout: str, missing: int) -> None:
    boot_cpu, memory = running(0, EIP), {PAGE: page(layout, 3 - missing)}
    counted = found(OvmfWait(), boot_cpu, "CPU#0\r\n", memory=memory, lapic=SENT)
    assert counted is not None
    assert (counted.expected, counted.address, counted.later, counted.who) == (4, PAGE, False, None)
    assert counted.read(memory[PAGE]) == 4 - missing
    assert counted.read(page(layout, 3)) == 4
    assert counted.read(bytes(PAGE_BYTES)) == 4  # it has put back what was there: the round is over


@pytest.mark.parametrize(
    ("memory", "lapic"),
    [
        (page("X64, 2026.08", 2), INIT),
        (page("X64, 2026.08", 2), ""),
        (page("X64, 2026.08", 2, first=2), SENT),
        (page("X64, 2026.08", 2, address=0x87000), SENT),
        (bytes(PAGE_BYTES), SENT),
        (START + bytes(PAGE_BYTES - len(START)), SENT),
    ],
    ids=["its last was an INIT", "no APIC", "a later round", "another page's", "put back", "an unknown layout"],
)
def test_without_all_the_signs_no_first_round_waits(memory: bytes, lapic: str) -> None:
    assert found(OvmfWait(), running(0, EIP), "CPU#0\r\n", memory={PAGE: memory}, lapic=lapic) is None


@pytest.mark.parametrize("cut", [0, 17, 100, PAGE_BYTES - 1])
def test_a_page_that_was_not_read_whole_says_nothing(cut: int) -> None:
    assert first_round_found(page("X64, 2026.08", 2)[:cut], PAGE) is None


@pytest.mark.parametrize("loop", LOOPS)
def test_in_a_later_round_each_parked_ap_has_a_word(loop: str) -> None:
    code, register = bytes.fromhex(LOOPS[loop][0]), LOOPS[loop][1]
    words = b"".join(b"STAP" if number in (2, 3) else bytes(4) for number in range(4))
    registers = f"CPU#0\r\n{register}=07ec0008 \r\n"
    for eip in (len(code) - 2, code.index(b"\xf0\x0f\xb1")):  # where TCG shows it, and one of KVM's
        memory = {EIP - eip: code, 0x7EC0000: words}
        counted = found(OvmfWait(), running(0, EIP), registers, memory=memory, lapic=SENT)
        assert counted is not None
        assert (counted.expected, counted.address, counted.size, counted.later) == (4, 0x7EC0000, 16, True)
        assert (counted.read(words), counted.read(bytes(16))) == (2, 4)


def test_the_word_itself_proves_the_wait() -> None:
    code = bytes.fromhex(LOOPS["X64 PEI, 2026.08"][0])
    memory = {EIP - len(code) + 2: code, 0x7EC0000: bytes(16)}
    assert found(OvmfWait(), running(0, EIP), "CPU#0\r\nEDI=07ec0008 \r\n", memory=memory) is None


def test_aps_parked_by_monitor_have_a_line_each() -> None:
    code = bytes.fromhex(LOOPS["X64 PEI, 2026.08"][0])
    words = bytes(64) + b"STAP".ljust(64, b"\0") + bytes(68)
    memory = {EIP - len(code) + 2: code, 0x7EC0000: words}
    counted = found(OvmfWait(), running(0, EIP), "CPU#0\r\nEDI=07ec0040 \r\n", memory=memory)
    assert counted is not None
    assert (counted.size, counted.read(words)) == (4 + 3 * 64, 3)


def test_elsewhere_it_waits_for_nobody() -> None:
    code = bytes.fromhex(LOOPS["IA32 PEI, 2022.11 4M"][0])
    registers = "CPU#0\r\nECX=07ec0008 \r\n"
    assert parked_signal(code, EIP, EIP + len(code), registers) is None  # past it
    assert parked_signal(code, EIP, EIP + 4, registers) is None  # on its way to it
    assert parked_signal(code, EIP, EIP + 7, "CPU#0\r\n") is None
    assert parked_signal(code[:-1] + b"\x02", EIP, EIP + 7, registers) is None  # a jump that leads on
    assert parked_signal(b"\xf0\x0f\xb1\x04\x85\xc0\x74\x04\xf3\x90\xeb\xf2", EIP, EIP + 2, registers) is None


@pytest.mark.parametrize("boot_cpu", [at_reset(0), running(0, EIP, halted=True)])
def test_one_that_does_not_run_waits_for_nobody_and_nothing_is_asked(boot_cpu: VcpuState) -> None:
    assert found(OvmfWait(), boot_cpu, "", memory={PAGE: page("X64, 2026.08", 2)}, lapic=SENT) is None


@pytest.mark.parametrize(
    ("cr0", "who"),
    [("00000033", (1, 3)), ("80000033", (1, 3)), ("80010033", (2, 3))],
    ids=["IA32 PEI: by their stacks", "X64 PEI: by their stacks", "DXE: as vCPUs are numbered"],
)
def test_which_ap_it_is_is_told_by_the_firmwares_numbering(cr0: str, who: tuple[int, ...]) -> None:
    code = bytes.fromhex(LOOPS["X64 PEI, 2026.08"][0])
    words = bytes(8) + b"STAPSTAP"
    memory = {EIP - len(code) + 2: code, 0x7EC0000: words}
    counted = found(OvmfWait(), running(0, EIP), "CPU#0\r\nEDI=07ec0008 \r\n", memory=memory)
    assert counted is not None
    assert counted.who is not None
    assert counted.who(words, dump(0x3B7BF58, 0x7EBFFAC, 0x7EAFFAC, 0x7EB7FAC, cr0=cr0)) == who
    assert counted.who(words, "") == ()
    assert counted.who(words, dump(0x3B7BF58, 0x7EBFFAC, cr0="00000033")) == ()
