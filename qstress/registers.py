"""Register dumps: the text of ``info registers`` folded into ``VcpuState`` (pure, and the hammer's hot path); beside it
what ``xp`` and ``info lapic`` print.

One piece of code reads both the raw QMP reply line, in which a line break is the four characters ``\\r\\n``, and the
decoded text. JSON is never decoded: at 4 vCPUs that alone costs as much as everything here.

The layouts (docs/background/qemu.md, "The text of info registers"; ``target/i386/cpu-dump.c``, QEMU 7.2 to 11.0):
``EIP``/``EFL`` with 8 digits or ``RIP``/``RFL`` with 16, mixed freely within a reply; segment lines may carry trailing
text; QEMU 11 can print R16 to R31 between R15 and RIP. vCPUs come in creation order, so their number is read and never
counted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import attrgetter

from qstress.model import Observation, VcpuState

#: Length of SeaBIOS's wait loop. To see all of it from any EIP inside, read this much before and after EIP.
WAIT_LOOP_BYTES = 39

_BREAK = rb"(?:\\r\\n|\r?\n)"
_HEX = rb"(?:[0-9a-f]{8}){1,2}"


def _lines_until(start: bytes, at_most: int) -> bytes:
    """A pattern for whole lines, none of which begins with *start* or a header; bounded, so that it stays linear."""
    return rb"(?:(?!%s|CPU#)[^\\\r\n]*%s){0,%d}" % (start, _BREAK, at_most)


# A literal prefix, and no step that can be taken in two ways: one pass, about 1 us per vCPU. The state is optional, so
# that a header without one (a truncated dump) is seen in the same pass.
_VCPU = re.compile(
    rb"CPU#(\d{1,5})" + _BREAK
    + rb"(?:" + _lines_until(rb"[ER]IP=", 40)
    + rb"([ER]IP=" + _HEX + rb" [ER]FL=" + _HEX + rb" [^\\\r\n]* SMM=\d HLT=\d" + _BREAK
    + _lines_until(rb"CS =", 12) + rb"CS =[0-9a-f]{4} " + _HEX + rb") )?"
)  # fmt: skip
_STATE = re.compile(
    rb".IP=(\w+) .FL=(\w+) .* SMM=(\d) HLT=(\d).*CS =(\w+) (\w+)", re.DOTALL
)  # on what _VCPU has let through
_EFLAGS_IF = 1 << 9
_index = attrgetter("index")


def parse(reply: bytes, at_s: float = 0.0) -> Observation:
    """Return what one reply to ``info registers`` (with or without ``-a``) says; never raises.

    :param reply: a QMP reply line as received, or plain text.
    :param at_s: monotonic time of the reply, passed on.
    :returns: one state per vCPU that is printed whole, in ascending index. ``truncated`` is set when a vCPU's header
        comes without its flag and CS lines, or the reply ends within a line. Anything else than a dump has no vCPUs.
    """
    found = _VCPU.findall(reply)
    states = [_state(index, picture) for index, picture in found if picture]
    states.sort(key=_index)
    truncated = len(states) != len(found) or not _ends_whole(reply)
    return Observation(at_s, tuple(states), truncated)


def parse_text(text: str, at_s: float = 0.0) -> Observation:
    """Do the same as :func:`parse` for text that is a ``str`` already."""
    return parse(text.encode(errors="replace"), at_s)


def general_register(reply: bytes, index: int, name: str) -> int | None:
    """Return register *name* of vCPU *index* as printed; None where the dump does not hold it whole.

    ``EBX`` and ``RBX`` name the same register, which is printed as one or the other: what comes is as wide as printed.
    """
    header = re.search(rb"CPU#%d%s" % (index, _BREAK), reply)
    if header is None:
        return None
    end = re.compile(rb"CPU#\d").search(reply, header.end())
    letters = re.escape(name.encode(errors="replace"))
    either = rb"[ER]" + letters[1:] if name[:1] in ("E", "R") else letters
    value = re.compile(rb"(?:(?<=[ \n])|(?<=\\n))" + either + rb" ?=([0-9a-f]{1,16})(?=[ \\\r\n])")
    match = value.search(reply, header.end(), end.start() if end else len(reply))
    return int(match[1], 16) if match else None


# cmp count,%ebx; je out; mov stack,%esp; movl $0,lock; pause; lock btsl $0,lock; jb pause; jmp cmp
_WAIT_LOOP = re.compile(
    rb"\x3b\x1d(?P<count>.{4})\x74\x1f\x89\x25.{4}\xc7\x05(?P<lock>.{4})\0{4}"
    rb"\xf3\x90\xf0\x0f\xba\x2d(?P=lock)\0\x72\xf3\xeb\xd9",
    re.DOTALL,
)


def wait_loop_count_address(code: bytes, address: int, eip: int) -> int | None:
    """Return where SeaBIOS counts the CPUs that came up, if *eip* lies in its ``smp_scan`` loop, else None.

    The count wanted is the low half of EBX. The bytes are the same in SeaBIOS 1.16.2, 1.16.3 and 1.17.0
    (docs/background/qemu.md, "The bytes of the wait loop"; ``src/fw/smp.c``).

    :param code: guest memory from *address* on; ``WAIT_LOOP_BYTES`` before and after *eip* always suffice.
    """
    for match in _WAIT_LOOP.finditer(code):
        if match.start() <= eip - address < match.end():
            return int.from_bytes(match["count"], "little")
    return None


def parse_xp(text: str) -> bytes:
    """Return the bytes printed by HMP ``xp /Nxb``; empty where it printed anything else.

    Addresses have 16 digits in QEMU 7.2 and 10, 8 in 11 (docs/background/qemu.md, "The text of info registers").
    """
    lines = re.findall(r"^[0-9a-f]{8,16}:((?: 0x[0-9a-f]{2})+)\s*$", text, re.MULTILINE)
    return bytes(int(number, 16) for line in lines for number in line.split())


_ICR = re.compile(r"^ICR\s+0x([0-9a-f]{8})", re.MULTILINE)
_START_UP = 6


def sipi_sent(text: str) -> str:
    """Return the interrupt command register from the text of ``info lapic`` if the last interrupt that this CPU sent
    was a SIPI, else ''.

    It survives until the next interrupt is sent, so in a boot CPU that waits for its APs it shows that INIT and SIPI
    have been sent. Bits 8 to 10 are the delivery mode (Intel SDM volume 3, "Interrupt Command Register"); the layout of
    the text is that of QEMU 7.2 (``x86_cpu_dump_local_apic_state``).

    >>> sipi_sent("ICR\\t 0x000c4610 physical edge assert all\\n")
    '000c4610'
    >>> sipi_sent("ICR\\t 0x000c4500 physical edge assert all\\n")
    ''
    """
    found = _ICR.search(text.replace("\r", ""))
    return found[1] if found and int(found[1], 16) >> 8 & 7 == _START_UP else ""


@lru_cache(maxsize=4096)
def _state(index: bytes, picture: bytes) -> VcpuState:
    """Return the state for what ``_VCPU`` matched; cached, because a vCPU that waits prints the same again."""
    match = _STATE.match(picture)
    assert match is not None
    eip, eflags, smm, halted, selector, base = match.groups()
    return VcpuState(
        index=int(index),
        eip=int(eip, 16),
        cs_selector=int(selector, 16),
        cs_base=int(base, 16),
        halted=halted != b"0",
        smm=smm != b"0",
        interrupts=bool(int(eflags, 16) & _EFLAGS_IF),
    )


def _ends_whole(reply: bytes) -> bool:
    """Whether the reply ends with a line's or a JSON object's end (or is empty)."""
    end = reply[-4:].rstrip(b"\r\n")
    if reply.startswith(b"{"):
        return end.endswith(b"}")
    return not reply or len(end) < len(reply[-4:])
