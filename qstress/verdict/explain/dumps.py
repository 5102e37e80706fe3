"""Put the states of a text together into dumps, each of them one look: a copy is no second one.

A dump is quoted in replies, repeated by trackers, and pasted in part. So a later dump is another look only where a
register that moves differs in both. What is said between two dumps proves nothing: a mail's date stands there as well.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from qstress.verdict.explain.block import Block
from qstress.verdict.explain.picture import Dump, Picture
from qstress.verdict.vcpu import VcpuLook

_LAYOUT = re.compile(r"[\s>|]+")
#: QEMU's prompt, or another way to ask for the registers of the monitor's one vCPU.
_ASKED_ONE = re.compile(r"info registers(?![\"' \t]{0,4}-a)")
_OTHER_GUEST = re.compile(
    r"\b(?:another|other|different|new|second) "
    r"(?:guest|vm|host|machine|boot|system|server|node|instance|reporter|try|attempt)\b"
    r"|\b(?:another|different) run\b|\bafter (?:a |the )?(?:re-?boot|re-?start|reset)\b|\bsystem_reset\b"
    r"|\b(?:re)?started (?:it|the \w{1,10}) again\b|\bre-?booted|\bre-?started|\"event\": ?\"RESET\"",
    re.IGNORECASE,
)
#: So many earlier states of one vCPU at one address are compared register by register.
_COMPARED = 64
#: How much before a state is searched for what was asked or said.
_BETWEEN = 4000


def picture_of(text: str, blocks: Sequence[Block], *, at_once: bool) -> Picture:
    """Return the dumps that *blocks*, in the order of *text*, make, and what there is beside them: copies, states
    without a number, and whether another guest or boot is spoken of in between.

    A state with the number of one that is already there begins a new dump. States without any number are looks at one
    vCPU only where each was asked for with ``info registers``; otherwise whose they are is unknown.

    :param at_once: whether QEMU printed them by itself, each as another vCPU failed.
    """
    if all(block.index is None for block in blocks):
        return _without_numbers(text, blocks, at_once=at_once)
    seen = _Seen(text)
    dumps: list[dict[int, Block]] = []
    copies, interrupted, end = 0, False, 0
    for group in _groups(_without_mentions(blocks)):
        before = [block for block in group if block.index in seen.numbers]
        twins = [seen.twin(block) for block in before]
        if before and all(twins):
            copies += 1
            number = seen.dump_of[id(twins[0])]
        else:
            between = text[max(end, group[0].begin - _BETWEEN) : group[0].begin]
            interrupted |= bool(dumps) and _OTHER_GUEST.search(between) is not None
            number = len(dumps)
            dumps.append({})
        _put(group, dumps[number], seen, number)
        end = group[-1].end
    looks = tuple(Dump(_looks([*dump.values()])) for dump in dumps)
    return Picture(looks, copies=copies, interrupted=interrupted)


def _put(group: Sequence[Block], dump: dict[int, Block], seen: _Seen, number: int) -> None:
    """Put into *dump* what *group* shows more than it does: all of it, or what a copy has more of."""
    for block in group:
        if block.index is None:
            if seen.twin(block) is not None:
                continue
            key = -1 - len(dump)
        else:
            key = block.index
            known = dump.get(key)
            if known is not None and (block.shown <= known.shown or not block.agrees(known)):
                continue
        dump[key] = block
        seen.add(block, number)


@dataclass(slots=True)
class _Seen:
    """The states so far, found again as a whole, by their bytes but for layout, or by what they have in common.
    ``dump_of`` is the number of the dump that holds a state, by the state's ``id``."""

    text: str
    numbers: set[int] = field(default_factory=set)
    dump_of: dict[int, int] = field(default_factory=dict)
    _exact: dict[tuple[int | None, int], Block] = field(default_factory=dict)
    _at: defaultdict[tuple[int | None, int | None], list[Block]] = field(default_factory=lambda: defaultdict(list))

    def add(self, block: Block, number: int = 0) -> None:
        if block.index is not None:
            self.numbers.add(block.index)
        self.dump_of[id(block)] = number
        for key in self._keys(block):
            self._exact.setdefault(key, block)
        self._at[block.index, block.registers.get("IP")].append(block)
        self._at[block.index, -1].append(block)

    def twin(self, block: Block) -> Block | None:
        """Return an earlier state of the same number that *block* shows nothing new of."""
        for key in self._keys(block):
            if key in self._exact:
                return self._exact[key]
        at = block.registers.get("IP")
        near = [*self._at[block.index, at][:_COMPARED], *self._at[block.index, None if at is not None else -1]]
        return next((earlier for earlier in near[: 2 * _COMPARED] if earlier.agrees(block)), None)

    def _keys(self, block: Block) -> Iterator[tuple[int | None, int]]:
        yield block.index, block.key
        yield block.index, hash(_LAYOUT.sub("", self.text[block.begin : block.end]))


def _without_mentions(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield *blocks* without those that repeat a numbered vCPU's registers, but not its number."""
    by_address: defaultdict[int | None, list[Block]] = defaultdict(list)
    for block in blocks:
        at = block.registers.get("IP")
        if block.index is not None and len(by_address[at]) < _COMPARED:
            by_address[at].append(block)
    for block in blocks:
        near = by_address.get(block.registers.get("IP"), ())
        if block.index is not None or not any(block.agrees(known) for known in near):
            yield block


def _groups(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield the states that were printed together: until a number comes again."""
    group: list[Block] = []
    indices: set[int] = set()
    for block in blocks:
        if group and block.index in indices:
            yield group
            group, indices = [], set()
        group.append(block)
        if block.index is not None:
            indices.add(block.index)
    if group:
        yield group


def _without_numbers(text: str, blocks: Sequence[Block], *, at_once: bool) -> Picture:
    one_by_one = not at_once and _each_asked_for(text, blocks)
    seen = _Seen(text)
    kept: list[Block] = []
    for block in blocks:
        twin = seen.twin(block)
        quoted = twin is not None and _quotation(text, block.begin) > _quotation(text, twin.begin)
        if twin is not None and (one_by_one or quoted or twin.whole):
            continue
        seen.add(block)
        kept.append(block)
    copies = len(blocks) - len(kept)
    if one_by_one:
        return Picture(tuple(Dump(_looks([block])) for block in kept), copies=copies)
    states = sum(block.times for block in kept)
    unnumbered = states if states > 1 and not at_once else 0
    return Picture((Dump(_looks(kept)),) if kept else (), copies=copies, unnumbered=unnumbered)


def _each_asked_for(text: str, blocks: Sequence[Block]) -> bool:
    """Whether ``info registers`` stands before each state, so that all are of the vCPU that the monitor has chosen."""
    ends = [0, *(block.end for block in blocks)]
    return all(
        _ASKED_ONE.search(text, max(end, block.begin - _BETWEEN), block.begin)
        for end, block in zip(ends, blocks, strict=False)
    )


def _looks(group: Sequence[Block]) -> tuple[VcpuLook, ...]:
    """Return the group's states in ascending index; those without a number take the numbers that are free."""
    taken = {block.index for block in group}
    free = (index for index in count() if index not in taken)
    looks = [block.look(next(free) if block.index is None else block.index) for block in group]
    return tuple(sorted(looks, key=lambda look: look.index))


def _quotation(text: str, at: int) -> int:
    """How many quotation marks the line at *at* begins with."""
    return text[max(0, at - 200) : at].rpartition("\n")[2].count(">")
