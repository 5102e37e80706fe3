"""Find the register dumps in a cleaned text, whole or in pieces: one pass over its registers, wherever lines break.

Known layouts: QEMU's ``x86_cpu_dump_state`` from 0.9 to 11 (target/i386/cpu-dump.c, before that helper.c), with
``CPU#n``, ``CPU #n:``, ``CPU Reset (CPU n)``, the words of other tools (``info registers vcpu n``) or no header at
all; libkvm's ``kvm_show_regs`` (qemu-kvm up to 0.12); the ``pc=`` of ``info cpus`` up to 2.11; bytes that ``x`` and
``xp`` print.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from operator import ge

from qstress.verdict.explain.block import GENERAL, Block
from qstress.verdict.explain.dumps import picture_of
from qstress.verdict.explain.picture import Foreign, Picture
from qstress.verdict.explain.words import foreign, words

#: A text with more states than this is a log; what comes after is left out and counted.
MOST_STATES = 20_000
#: How far after "CPU#1" its registers may begin (an echoed prompt, a cut). Kernel messages name CPUs as well.
_HEADER_REACH = 160

_HEX = r"[0-9a-fA-F]{8}(?:[0-9a-fA-F]{8})?(?![0-9a-fA-F])"
_GAP = r"[\s>|]{1,12}"
# Every alternative is bounded: linear, whatever the text. Looking at the first letter alone makes it 15 times faster.
_TOKEN = re.compile(
    r"(?=[CDEFGHLRSTcrv])(?:"
    rf"(?P<gpr>(?P<wide>[ER])(?P<name>[ABCD]X|[SD]I|[BSI]P|FL) ?= ?(?P<value>{_HEX}))"
    r"|(?P<more>(?<![A-Z])(?P<more_name>R(?:[89]|[12]\d|3[01])|CR[23]) {0,2}= ?(?P<more_value>"
    r"[0-9a-fA-F]{8,16})(?![0-9a-fA-F]))"
    rf"|(?P<seg>(?P<segment>[CDEFGS]S|TR|LDT) ?= ?(?P<selector>[0-9a-fA-F]{{4}}){_GAP}(?P<base>{_HEX}))"
    r"|(?P<hlt>H\s?L\s?T\s?=\s?(?P<halted>[01])(?![0-9a-fA-F]))"
    r"|(?P<smm>SMM ?= ?1(?![0-9a-fA-F]))"
    r"|(?P<cpl>CPL ?= ?(?P<ring>[0-3])(?![0-9a-fA-F]))"
    rf"|(?P<cr0>CR0 ?= ?(?P<cr0_value>{_HEX}))"
    r"|(?P<code>Code=)"
    r"|(?P<cpus>CPU #(?P<cpus_index>\d{1,5}): pc=0x(?P<pc>[0-9a-f]{8,16})(?![0-9a-f]| npc)(?P<pc_halted> \(halted\))?)"
    r"|(?P<head>[Cc](?:PU|pu)(?:_id)?[ \t]?[#:=]?[ \t]?(?P<index>\d{1,5})(?![\d.]))"
    r"|(?P<log>v=[0-9a-f]{2,8} e=[0-9a-f]{4}|CPU Reset(?= ))"
    r"|(?P<ccs>CCS=[0-9a-f]{8})"
    rf"|(?P<kgpr>r(?P<kname>ax|bx){_GAP}(?P<kvalue>[0-9a-f]{{16}})\b)"
    rf"|(?P<kip>rip{_GAP}(?P<kip_value>[0-9a-f]{{16}}){_GAP}rflags{_GAP}(?P<kfl>[0-9a-f]{{8}})\b)"
    rf"|(?P<kcs>cs{_GAP}(?P<kselector>[0-9a-f]{{4}}) \((?P<kbase>[0-9a-f]{{8,16}})/)"
    rf"|(?P<kcr0>cr0{_GAP}(?P<kcr0_value>[0-9a-f]{{1,16}}){_GAP}cr2))"
)
#: By kind of token: the group that names its register, or the one register that it always holds.
_NAMED_BY = {"gpr": "name", "seg": "segment", "more": "more_name", "kgpr": "kname"}
_REGISTER_OF = {"kip": "IP", "cpus": "IP", "kcs": "CS"}
# Between the headers of a list that was sorted, so that no state belongs to the header before it.
_LISTED = re.compile(r"(?:\)?\s*\n[^\n=]{0,60}[:\])>] )?[\s>|)*\d]*(?:CPU Reset \()?")
# ``sort | uniq -c``: how often a line came stands before it. (Line numbers look so, too, but go up with the lines.)
_LINE = r"(?:^[> |]{0,8}|(?<=[:\])>] ))[ \t]{0,8}"
_REGISTERS = r"(?:[ER][A-Z]{2} ?=|[C-GS]S ?=|CPU ?#|CPU Reset|CR0=)"
_COUNTED = re.compile(rf"{_LINE}([1-9]\d{{0,6}})[ \t]{{1,4}}(?={_REGISTERS})", re.MULTILINE)
_UNCOUNTED = re.compile(rf"{_LINE}{_REGISTERS}", re.MULTILINE)
_REMNANT = re.compile(
    r"[ER](?:[ABCD]X|[SD]I|[BSI]P|FL) ?= ?(?!0x)[0-9a-fA-F]{2}|HLT=[01]|[CDEFGS]S =[0-9a-fA-F]{2}|\brflags\b"
)
_CUT = re.compile(
    r"^[> |]{0,8}(?:\.{3,40}|\[?(?:…|\.\.\.|snip|cut)\]?|<snip>)[ \t]{0,4}$", re.MULTILINE | re.IGNORECASE
)
_MEMORY = re.compile(
    r"(?<![0-9a-f])(?P<at>[0-9a-f]{8,16}):(?P<values>(?:[ \t]{1,4}0x(?:[0-9a-f]{2}){1,8}(?![0-9a-f])){1,16})"
)
_MOST_MEMORY_LINES = 4096


def read_picture(text: str) -> Picture:
    """Return what *text* (from :func:`qstress.verdict.explain.clean.cleaned`) shows; never raises.

    What QEMU logged (``-d int``, ``-d cpu_reset``; only there and in its last words it prints ``CCS=``) counts where
    there is nothing else.
    """
    found = (block for block in _blocks(text) if block.is_state)
    blocks = list(islice(found, MOST_STATES))
    left_out = sum(1 for _ in found)
    unlogged = [block for block in blocks if not block.logged]
    used = unlogged or blocks
    said = words(text, [block.begin for block in blocks if not block.linear])
    picture = picture_of(text, used, at_once=bool(said.kvm))
    return replace(
        picture,
        words=said,
        foreign=foreign(text) if not used or said.kvm or said.died else Foreign(),
        copies=picture.copies if unlogged else 0,  # in a log equal states are of several moments
        memory=_memory(text),
        remnants=not used and _REMNANT.search(text) is not None,
        logged=bool(blocks) and not unlogged,
        cut=_CUT.search(text) is not None,
        left_out=left_out,
    )


def _blocks(text: str) -> Iterator[Block]:
    """Yield each state: a header close before a register begins one, and so does a register that comes again.

    In a digest that counts equal lines, and after headers that stand in a row, no state belongs to any header.
    """
    counts = _counts(text)
    block: Block | None = None
    header: re.Match[str] | None = None
    log = ""
    in_a_row = False
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "head":
            in_a_row = header is not None and header["index"] != token["index"] and _follows(text, header, token)
            header = token
            continue
        if kind == "log":
            log = token[0]
            continue
        if kind == "gpr" and token["wide"] == "R" and token["name"] != "FL" and len(token["value"]) < 16:
            continue  # the first half of a value that was cut
        name = _name(token, kind)
        headed = header is not None and token.start() - header.end() <= _HEADER_REACH
        if headed or kind == "cpus" or (name in GENERAL and (block is None or block.is_past(name))):
            if block is not None:
                yield block
            block = Block(None, token.start(), logged=bool(log) and not counts, of_reset=log == "CPU Reset")
            if headed and header is not None and not in_a_row and not counts:
                block.index, block.begin = int(header["index"]), header.start()
            header, log, in_a_row = None, "", False
        if block is not None:
            _take(block, token, kind, name)
            if name == "IP" and counts:
                block.times = counts.get(text.rfind("\n", 0, token.start()) + 1, 1)
    if block is not None:
        yield block


def _follows(text: str, header: re.Match[str], token: re.Match[str]) -> bool:
    """Whether *token*, a header, comes right after *header*, as in a sorted list."""
    return _LISTED.fullmatch(text, header.end(), token.start()) is not None


def _counts(text: str) -> dict[int, int]:
    """Return how often a line came, by its offset, where the text is a digest that counts lines; else empty."""
    lines = list(_COUNTED.finditer(text))
    if not lines or _UNCOUNTED.search(text):
        return {}
    apart = [text.count("\n", before.start(), after.start()) for before, after in pairwise(lines)]
    grown = [int(after[1]) - int(before[1]) for before, after in pairwise(lines)]
    if len(grown) > 1 and all(map(ge, grown, apart)) or (grown and grown == apart):
        return {}  # of lines that were numbered, all of them or some
    return {text.rfind("\n", 0, line.start(1)) + 1: int(line[1]) for line in lines}


def _name(token: re.Match[str], kind: str | None) -> str:
    """The register that *token* holds, or the kind of token itself."""
    if group := _NAMED_BY.get(kind or ""):
        return token[group].upper()
    return _REGISTER_OF.get(kind or "", kind or "")


def _take(block: Block, token: re.Match[str], kind: str | None, name: str) -> None:
    """Put what *token* holds into *block*."""
    first = block.saw(name, token)
    match kind:
        case "gpr" if first:
            block.registers[name] = int(token["value"], 16)
            if name == "IP":
                block.eip_text, block.long = token["value"].lower(), token["wide"] == "R"
        case "seg" if first and not (block.long and len(token["base"]) < 16):
            block.registers[name] = int(token["base"], 16)
            block.registers[name + " selector"] = int(token["selector"], 16)
        case "more" if first and len(token["more_value"]) == (8 if name in ("CR2", "CR3") and not block.long else 16):
            block.registers[name] = int(token["more_value"], 16)
        case "hlt" if first:
            block.halted = token["halted"] == "1"
        case "smm":
            block.smm = True
        case "ccs":
            block.logged = True
        case "cpl":
            block.cpl = int(token["ring"])
        case "cr0" | "kcr0" if first:
            block.registers["CR0"] = int(token[f"{kind}_value"], 16)
        case "code":
            block.prints_code = True
        case "cpus":
            block.index, block.linear, block.halted = int(token["cpus_index"]), True, token["pc_halted"] is not None
            block.registers["IP"], block.eip_text = int(token["pc"], 16), token["pc"]
        case "kgpr" if first:
            block.registers[name] = int(token["kvalue"], 16)
        case "kip" if first:
            block.registers["IP"], block.eip_text = int(token["kip_value"], 16), token["kip_value"]
            block.registers["FL"] = int(token["kfl"], 16)
        case "kcs" if first:
            block.registers["CS"], block.registers["CS selector"] = int(token["kbase"], 16), int(token["kselector"], 16)


def _memory(text: str) -> tuple[tuple[int, bytes], ...]:
    """Return what ``x`` and ``xp`` printed, as pieces in ascending order; lines that touch are one piece."""
    lines: dict[int, bytes] = {}
    for line in islice(_MEMORY.finditer(text), _MOST_MEMORY_LINES):
        values = [value[2:] for value in line["values"].split()]
        lines[int(line["at"], 16)] = b"".join(bytes.fromhex(value)[::-1] for value in values)
    pieces: list[tuple[int, bytes]] = []
    for at, data in sorted(lines.items()):
        if pieces and pieces[-1][0] + len(pieces[-1][1]) == at:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + data)
        else:
            pieces.append((at, data))
    return tuple(pieces)
