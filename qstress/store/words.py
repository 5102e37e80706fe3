"""The words of a verdict as columns of ``trials.db``, and back (pure).

Verdicts of one kind share a row for all words but their reasons, which differ from trial to trial in little more than
numbers. So reasons are compressed against a dictionary of the sentences that they are made of: a thousand findings
cost a fifth of what their text would.
"""

from __future__ import annotations

import json
import zlib
from typing import TypeAlias

from qstress.model import Confidence, FindingClass, Outcome, Verdict

#: The columns of ``kind``: outcome, class, signature, title, confidence, rig_reason.
Kind: TypeAlias = tuple[str, str, str, str, str, str]

#: What reasons are made of (of version 2; another dictionary is another version). The commonest stand last.
_SENTENCES = (
    b'["QEMU ended by itself at ", "last words: ", "went on after it was dumped: a lost wake-up", "the firmware ran '
    b'again from the reset vector", "the console restarted: a second banner", " flags 0x38; INIT was sent between 0.'
    b' s (AP  still waited for it) and 0. s (AP  was read as RUNNABLE)", "CPU#0 is in its firmware\'s wait loop: it '
    b'waits for 4 vCPUs and has 3", "AP 1 was read at 0.547846 s and written back at 0.548376 s with flags 0x38; INIT '
    b'was sent between 0.547962 s (AP 3 still waited for it) and 0.548408 s (AP 2 was woken by INIT or SIPI)", '
    b'"CPU#1 at EIP=0000fff0 CS=f000 base ffff0000 in two dumps taken after hammering had stopped", "the console is '
    b"silent since 'handle_smp: apic_id=0x2' and never said Found\", \"CPU time in the 0.23 s between the dumps: CPU#0 "
    b'100 %, CPU#1 0 %, CPU#2 0 %, CPU#3 0 %", '
)


def kind_of(said: Verdict, rig_reason: str) -> Kind:
    """Return the columns of ``kind`` for *said* and why the rig failed."""
    return (said.outcome, said.finding_class or "", said.signature, said.title, said.confidence, rig_reason)


def pack_reasons(because: tuple[str, ...]) -> bytes:
    """Return the reasons of a verdict as bytes, none as no bytes."""
    if not because:
        return b""
    packer = zlib.compressobj(level=9, wbits=-15, zdict=_SENTENCES)
    return packer.compress(json.dumps(because).encode()) + packer.flush()


def unpack_reasons(data: bytes) -> tuple[str, ...]:
    """Return what :func:`pack_reasons` was given.

    :raises ValueError: *data* is damaged.
    """
    if not data:
        return ()
    unpacker = zlib.decompressobj(wbits=-15, zdict=_SENTENCES)
    try:
        text = unpacker.decompress(data)
    except zlib.error as error:
        raise ValueError(f"its reasons cannot be unpacked: {error}") from error
    if not unpacker.eof:
        raise ValueError("its reasons are cut off")
    return tuple(json.loads(text))


def verdict_of(kind: Kind, because: bytes) -> Verdict:
    """Rebuild a verdict from the columns of its kind and its packed reasons.

    :raises ValueError: a column holds a word that this version does not know, or the reasons are damaged.
    """
    outcome, finding_class, signature, title, confidence, _rig_reason = kind
    return Verdict(
        outcome=Outcome(outcome),
        title=title,
        finding_class=FindingClass(finding_class) if finding_class else None,
        signature=signature,
        confidence=Confidence(confidence),
        because=unpack_reasons(because),
    )
