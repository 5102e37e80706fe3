"""Print vCPU states as QEMU does (``x86_cpu_dump_state``), as libkvm did, and as ``info cpus`` of old QEMU did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FLAT, KERNEL, USER, REAL = (0x0008, 0), (0x0010, 0), (0x0033, 0), (0xF000, 0xF0000)
RESET_CS = (0xF000, 0xFFFF0000)
_NAMES = ("AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP")


@dataclass(frozen=True, slots=True)
class Vcpu:
    """One vCPU's state; ``long``: in 64-bit code; ``code`` with ``<..>`` around the byte at EIP."""

    index: int
    eip: int
    cs: tuple[int, int] = FLAT
    eflags: int = 0x2
    halted: bool = False
    cr0: int = 0x11
    cpl: int = 0
    smm: bool = False
    long: bool = False
    registers: Mapping[str, int] = field(default_factory=dict)
    code: str = ""


def reset(index: int, *, halted: bool = False) -> Vcpu:
    """At the reset vector: HLT=0 under KVM, HLT=1 under TCG for an AP."""
    return Vcpu(index, 0xFFF0, RESET_CS, halted=halted, cr0=0x60000010, registers={"DX": 0x663})


def waiting(eip: int = 0xEE2FB, *, expects: int, **more: int) -> Vcpu:
    """A boot CPU in SeaBIOS's wait for its APs."""
    return Vcpu(0, eip, registers={"AX": 0x10, "BX": expects, "SP": 0x6CC0, **more})


def post(eip: int = 0xE98B6, ebx: int = 0x3F8) -> Vcpu:
    """A boot CPU elsewhere in SeaBIOS's 32-bit code."""
    return Vcpu(0, eip, registers={"AX": 0x80000000, "BX": ebx, "SP": 0x6F2C})


def parked(index: int) -> Vcpu:
    """An AP where SeaBIOS 1.16.2 parks it: halted, interrupts off."""
    return Vcpu(index, 0xFD09A, halted=True, eflags=0x46, registers={"SP": 0x7000})


def kernel(index: int, rip: int, *, halted: bool = False, eflags: int = 0x246, **registers: int) -> Vcpu:
    """In a 64-bit kernel."""
    return Vcpu(
        index, rip, KERNEL, eflags, halted, 0x80050033, long=True, registers={"SP": 0xFFFFC90000003E80, **registers}
    )


def user(index: int, rip: int = 0x7F5C3A20C3F1) -> Vcpu:
    """In a 64-bit program."""
    return Vcpu(index, rip, USER, 0x202, cr0=0x80050033, cpl=3, long=True, registers={"SP": 0x7FFD12345678})


def qemu(
    vcpu: Vcpu,
    header: str | None = "CPU#{}",
    *,
    fpu: bool = True,
    avx: bool = False,
    apx: bool = False,
    log: bool = False,
) -> str:
    """Print one state; *header* None prints none. *log*: with the lines that only ``-d`` and ``qemu: fatal`` print."""
    width, letter = (16, "R") if vcpu.long else (8, "E")
    general = [f"{letter}{name}={vcpu.registers.get(name, 0):0{width}x}" for name in _NAMES]
    if vcpu.long:
        general += [f"{f'R{i}':<3}={vcpu.registers.get(f'R{i}', 0):016x}" for i in range(8, 32 if apx else 16)]
    selector, base = vcpu.cs
    tables = 16 if vcpu.long else 8
    flags = f"CPL={vcpu.cpl} II=0 A20=1 SMM={vcpu.smm:d} HLT={vcpu.halted:d}"
    attributes = _attributes(vcpu)
    lines = [
        *([header.format(vcpu.index)] if header is not None else []),
        *(" ".join(general[i : i + 4]) for i in range(0, len(general), 4)),
        f"{letter}IP={vcpu.eip:0{width}x} {letter}FL={vcpu.eflags:08x} [{_letters(vcpu.eflags)}] {flags}",
        f"ES =0000 {0:0{width}x} 0000ffff 00009300",
        f"CS ={selector:04x} {base:0{width}x} {attributes}",
        *(f"{name} =0000 {0:0{width}x} 0000ffff 00009300" for name in ("SS", "DS", "FS", "GS")),
        f"LDT=0000 {0:0{width}x} 0000ffff 00008200",
        f"TR =0000 {0:0{width}x} 0000ffff 00008b00",
        f"GDT=     {0xF6180:0{tables}x} 00000037",
        f"IDT=     {0xF61BE:0{tables}x} 00000000",
        f"CR0={vcpu.cr0:08x} CR2={0:0{tables}x} CR3={0:0{tables}x} CR4=00000000",
        "DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000 ",
        "DR6=00000000ffff0ff0 DR7=0000000000000400",
        *([f"CCS={0:0{width}x} CCD={0:0{width}x} CCO=DYNAMIC"] if log else []),
        f"EFER={0xD01 if vcpu.long else 0:016x}",
    ]
    if vcpu.code:
        lines.append(f"Code={vcpu.code}")
    elif fpu:
        lines += _fpu(avx=avx)
    return "\n".join(lines) + "\n"


def monitor(*vcpus: Vcpu, fpu: bool = True, avx: bool = False, apx: bool = False) -> str:
    """Print the reply to ``info registers -a``."""
    return "".join(f"\n{qemu(vcpu, fpu=fpu, avx=avx, apx=apx)}" for vcpu in vcpus)


def libkvm(vcpu: Vcpu) -> str:
    """Print a state as ``kvm_show_regs`` of qemu-kvm up to 0.12 did."""
    values = [vcpu.registers.get(name, 0) for name in _NAMES]
    names = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
    general = [f"{name} {value:016x}" for name, value in zip(names, values, strict=True)]
    general += [f"{f'r{i}':<3} {0:016x}" for i in range(8, 16)]
    selector, base = vcpu.cs
    lines = [
        *(" ".join(general[i : i + 4]) for i in range(0, 16, 4)),
        f"rip {vcpu.eip:016x} rflags {vcpu.eflags:08x}",
        f"cs {selector:04x} ({base:08x}/0000ffff p 1 dpl 0 db 0 s 1 type b l 0 g 0 avl 0)",
        *(f"{name} 0000 (00000000/0000ffff p 1 dpl 0 db 0 s 1 type 3 l 0 g 0 avl 0)" for name in ("ds", "es", "ss")),
        "gdt 0/ffff",
        "idt 0/ffff",
        f"cr0 {vcpu.cr0:x} cr2 0 cr3 0 cr4 0 cr8 0 efer 0",
    ]
    return "\n".join(lines) + "\n"


def info_cpus(*vcpus: Vcpu) -> str:
    """Print what ``info cpus`` said up to QEMU 2.11."""
    lines = [
        f"{'*' if vcpu.index == 0 else ' '} CPU #{vcpu.index}: pc=0x{(vcpu.cs[1] + vcpu.eip) & 0xFFFFFFFFFFFFFFFF:016x}"
        f"{' (halted)' if vcpu.halted else ''} thread_id={3000 + vcpu.index}"
        for vcpu in vcpus
    ]
    return "\n".join(lines) + "\n"


def _attributes(vcpu: Vcpu) -> str:
    if vcpu.long:
        return f"ffffffff 00a09b00 DPL={vcpu.cpl} CS64 [-RA]"
    return "ffffffff 00c09b00 DPL=0 CS32 [-RA]" if vcpu.cr0 & 1 else "0000ffff 00009b00"


def _letters(eflags: int) -> str:
    bits = ((11, "O"), (10, "D"), (7, "S"), (6, "Z"), (4, "A"), (2, "P"), (0, "C"))
    return "".join(letter if eflags >> bit & 1 else "-" for bit, letter in bits)


def _fpu(*, avx: bool) -> list[str]:
    lines = ["FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80"]
    lines += [f"FPR{i}=0000000000000000 0000 FPR{i + 1}=0000000000000000 0000" for i in range(0, 8, 2)]
    zero = "0000000000000000"
    if avx:
        return lines + [f"YMM{i:02}={zero} {zero} {zero} {zero}" for i in range(16)]
    return lines + [f"XMM{i:02}={zero} {zero} XMM{i + 1:02}={zero} {zero}" for i in range(0, 8, 2)]
