"""Register dumps: live ones that our QEMU printed (``data/registers``), and synthetic ones for the other layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import VcpuState
from qstress.registers import (
    WAIT_LOOP_BYTES,
    general_register,
    parse,
    parse_text,
    parse_xp,
    sipi_sent,
    wait_loop_count_address,
)
from tests.samples import at_reset, running

DATA = Path(__file__).parent / "data" / "registers"
HALTED_AP = 0xFD09A  # where SeaBIOS 1.16.2 parks an AP


def wire(name: str) -> bytes:
    """One QMP reply as QEMU 7.2.22 sent it."""
    return (DATA / f"{name}.json").read_bytes()


def returned(reply: bytes) -> str:
    """The text inside a QMP reply."""
    text = json.loads(reply)["return"]
    assert isinstance(text, str)
    return text


def on_wire(text: str) -> bytes:
    """*text* as QEMU would send it."""
    return json.dumps({"return": text}).encode() + b"\r\n"


def dump(
    state: VcpuState, *, long_mode: bool = False, long_tables: bool = False, apx: bool = False, line_break: str = "\r\n"
) -> str:
    """Print *state* as ``x86_cpu_dump_state`` does; *apx* and *long_tables* are switches of their own."""
    width, letter = (16, "R") if long_mode else (8, "E")
    table = 16 if long_mode or long_tables else 8
    names = ["AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP"]
    general = [f"{letter}{name}={0x1234 + i:0{width}x}" for i, name in enumerate(names)]
    if long_mode:
        general += [f"{f'R{i}':<3}={i:016x}" for i in range(8, 32 if apx else 16)]
    flags = 0x202 if state.interrupts else 2
    smm_hlt = f"SMM={state.smm:d} HLT={state.halted:d}"
    lines = [
        f"CPU#{state.index}",
        *(" ".join(general[i : i + 4]) for i in range(0, len(general), 4)),
        f"{letter}IP={state.eip:0{width}x} {letter}FL={flags:0{width}x} [-------] CPL=0 II=0 A20=1 {smm_hlt}",
        f"ES =0010 {0:0{width}x} ffffffff 00c09300 DPL=0 DS   [-WA]",
        f"CS ={state.cs_selector:04x} {state.cs_base:0{width}x} ffffffff 00c09b00 DPL=0 CS32 [-RA]",
        f"LDT=0000 {0:0{width}x} 0000ffff 00008200 DPL=0 LDT",
        f"GDT=     {0xF6180:0{table}x} 00000037",
        f"CR0=00000011 CR2={0:0{table}x} CR3={0:0{table}x} CR4=00000000",
        "DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000 ",
        "XMM00=0000000000000000 0000000000000000 XMM01=0000000000000000 0000000000000000",
    ]
    return "".join(line_break + line for line in lines)


def whole(*dumps: str, line_break: str = "\r\n") -> str:
    """The text of one reply."""
    return "".join(dumps) + line_break


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kvm-smp1-up", [running(0, 0xEABA4)]),
        ("kvm-smp2-paused", [at_reset(0), at_reset(1)]),
        ("kvm-smp2-post", [running(0, 0xE98B6), at_reset(1)]),
        ("kvm-smp4-up", [running(0, 0xE9586), *(running(i, HALTED_AP, halted=True) for i in (1, 2, 3))]),
        ("kvm-smp4-one-vcpu", [running(2, HALTED_AP, halted=True)]),
        ("tcg-smp1-paused", [at_reset(0)]),
        ("tcg-smp2-paused", [at_reset(0), at_reset(1, halted=True)]),
        ("tcg-smp2-waiting", [running(0, 0xEE2FB), running(1, HALTED_AP, halted=True)]),
        ("tcg-smp4-up", [running(0, 0xEABA3), *(running(i, HALTED_AP, halted=True) for i in (1, 2, 3))]),
        ("no-such-vcpu", []),
    ],
)
def test_live_dumps_on_the_wire_and_decoded(name: str, expected: list[VcpuState]) -> None:
    reply = wire(name)
    text = returned(reply)
    for seen in (parse(reply, 2.5), parse_text(text, 2.5), parse_text(text.replace("\r", ""), 2.5)):
        assert seen.at_s == 2.5
        assert list(seen.vcpus) == expected
        assert not seen.truncated


def test_64_vcpus() -> None:
    _, ap = returned(wire("kvm-smp2-paused")).split("\r\nCPU#1\r\n")
    reply = on_wire("".join(f"\r\nCPU#{i}\r\n{ap}" for i in range(64)))
    assert list(parse(reply).vcpus) == [at_reset(i) for i in range(64)]


def test_creation_order_is_not_index_order() -> None:
    text = whole(*(dump(at_reset(i)) for i in (0, 1, 4, 3)))
    assert [vcpu.index for vcpu in parse_text(text).vcpus] == [0, 1, 3, 4]


def test_layouts_may_differ_within_one_reply() -> None:
    kernel = VcpuState(0, 0xFFFFFFFF81000000, 0x10, 0, False, False, True)
    smm = VcpuState(1, 0x8000, 0x3000, 0x30000, False, True, False)
    text = whole(dump(kernel, long_mode=True, apx=True), dump(smm, long_tables=True))
    assert parse(on_wire(text)).vcpus == (kernel, smm)


def test_unknown_lines_are_skipped() -> None:
    text = whole(dump(at_reset(0)))
    for before in ("EIP=", "CS ="):
        assert parse_text(text.replace(before, f"NEW=[00] {before} #?\r\n{before}", 1)).vcpus == (at_reset(0),)


def test_a_header_without_its_state_is_truncated_not_its_neighbours() -> None:
    first, second = dump(at_reset(0)), dump(at_reset(1))
    for lost in ("EIP=", "CS ="):
        seen = parse_text(whole(first.replace(lost, "???="), second))
        assert seen.vcpus == (at_reset(1),)
        assert seen.truncated


@pytest.mark.parametrize(
    "reply",
    [b"", b"\r\n", b'{"return": {}}', b'{"error": {"class": "GenericError", "desc": "CPU#"}}\r\n', b"\xff\n"],
)
def test_what_is_not_a_dump_has_no_vcpus(reply: bytes) -> None:
    seen = parse(reply)
    assert seen.vcpus == ()
    assert not seen.truncated


def test_text_that_cannot_be_encoded() -> None:
    assert parse_text("\ud800\n").vcpus == ()


@given(st.binary())
def test_random_bytes_never_raise(data: bytes) -> None:
    parse(data)
    general_register(data, 0, "EBX")
    wait_loop_count_address(data, 0, 0)
    text = data.decode("latin-1")
    parse_xp(text)


@given(st.lists(st.sampled_from([b"CPU#", b"0", b"7" * 5000, b"\r\n", b"\\r\\n", b"EIP=", b"0000fff0", b" EFL=",
                                 b" HLT=0", b" SMM=1", b"CS =f000 ffff0000 ", b"\\", b'{"', b"}"])))  # fmt: skip
def test_pieces_of_a_dump_never_raise(pieces: list[bytes]) -> None:
    parse(b"".join(pieces))


def test_garbage_costs_linear_time() -> None:
    """Quadratic, this takes minutes: each header would look at all lines behind it."""
    parse(b"CPU#1\nx" * 30_000)
    parse(b"CPU#1\n" + b"EIP=" * 30_000)


WIDE = VcpuState(1, 0xFFFFFFFF81000000, 0x33, 0x7FFF00001000, False, False, True)


@pytest.mark.parametrize(
    "on_the_wire",
    [
        wire("kvm-smp2-post").rstrip(),
        wire("tcg-smp2-waiting").rstrip(),
        on_wire(whole(dump(at_reset(0)), dump(WIDE, long_mode=True))).rstrip(),
    ],
)
def test_every_truncation_gives_a_prefix_of_the_right_states(on_the_wire: bytes) -> None:
    for reply in (on_the_wire, returned(on_the_wire).encode()):
        right = parse(reply).vcpus
        assert len(right) == 2
        for cut in range(1, len(reply)):
            seen = parse(reply[:cut])
            assert seen.vcpus == right[: len(seen.vcpus)]
            at_a_lines_end = reply[:cut].endswith((b"\r", b"\n"))  # in decoded text only
            assert seen.truncated or at_a_lines_end


states = st.builds(
    VcpuState,
    index=st.integers(0, 4095),
    eip=st.integers(0, 0xFFFFFFFF),
    cs_selector=st.integers(0, 0xFFFF),
    cs_base=st.integers(0, 0xFFFFFFFF),
    halted=st.booleans(),
    smm=st.booleans(),
    interrupts=st.booleans(),
)


@given(
    st.lists(st.tuples(states, st.booleans(), st.booleans()), unique_by=lambda item: item[0].index, max_size=5),
    st.sampled_from(["\r\n", "\n"]),
)
def test_what_is_printed_is_read(vcpus: list[tuple[VcpuState, bool, bool]], line_break: str) -> None:
    dumps = [dump(s, long_mode=wide, long_tables=apx, apx=apx, line_break=line_break) for s, wide, apx in vcpus]
    text = whole(*dumps, line_break=line_break)
    expected = tuple(sorted((state for state, _, _ in vcpus), key=lambda state: state.index))
    assert parse_text(text).vcpus == expected
    assert not parse_text(text).truncated
    if line_break == "\r\n":
        assert parse(on_wire(text)).vcpus == expected


def test_general_register_in_either_spelling() -> None:
    narrow, wide = dump(at_reset(1)), dump(at_reset(0), long_mode=True)
    for reply in (on_wire(whole(wide, narrow)), whole(wide, narrow).encode()):
        assert general_register(reply, 0, "EBX") == 0x1235
        assert general_register(reply, 1, "RBX") == 0x1235
        assert general_register(reply, 1, "EAX") == 0x1234
        assert general_register(reply, 0, "R8") == 8
        assert general_register(reply, 1, "R8") is None
        assert general_register(reply, 2, "EBX") is None
        assert general_register(reply, 0, "BX") is None
        assert general_register(reply, 0, "\ud800") is None
    neighbour = whole(dump(at_reset(0)), dump(WIDE, long_mode=True)).encode()
    assert general_register(neighbour, 0, "R8") is None
    assert general_register(wire("tcg-smp2-waiting"), 0, "EBX") == 3
    assert general_register(b"CPU#0\nEAX=00 EBX=12", 0, "EBX") is None


def test_the_wait_loop_is_recognised_from_every_address_in_it() -> None:
    code = parse_xp(returned(wire("xp-64-bytes")))
    # SeaBIOS 1.16.2 (docs/background/qemu.md, "The bytes of the wait loop")
    start, first, last = 0xEE2D0, 0xEE2E1, 0xEE307
    assert len(code) == 64
    assert last - first + 1 == WAIT_LOOP_BYTES
    for eip in range(start, start + 64):
        assert wait_loop_count_address(code, start, eip) == (0xF5240 if first <= eip <= last else None)
    assert wait_loop_count_address(code[:-9], start, first) is None
    other_lock = bytearray(code)
    other_lock[first - start + 16] ^= 1
    assert wait_loop_count_address(bytes(other_lock), start, first) is None


def test_xp_of_every_version_and_anything_else() -> None:
    assert parse_xp("000ee2d0: 0x10 0x46\r\n000ee2d2: 0xff\r\n") == b"\x10\x46\xff"
    assert parse_xp("Cannot access memory\r\n") == b""
    assert parse_xp("000ee2d0: 0x10 0x4") == b""


LAPIC = "dumping local APIC state for CPU 0 \r\n\r\nSPIV\t 0x000001ff\r\nICR\t 0x{icr} physical\r\nICR2\t 0x0\r\n"


@pytest.mark.parametrize("icr", ["000c4610", "00004610", "000c4608"])
def test_a_sipi_is_seen_whatever_its_vector_and_target(icr: str) -> None:
    assert sipi_sent(LAPIC.format(icr=icr)) == icr


@pytest.mark.parametrize("icr", ["00000000", "000c4500", "00000040", "000c0710"])
def test_no_other_interrupt_is_one(icr: str) -> None:
    assert sipi_sent(LAPIC.format(icr=icr)) == ""


@pytest.mark.parametrize("text", ["", "unknown command: 'info lapic'", "ICR\t none", "ICR2\t 0x000c4610"])
def test_anything_else_says_nothing(text: str) -> None:
    assert sipi_sent(text) == ""
