"""A tally as JSON values and back, so that a report on a million trials need not add them all up again (pure).

It is a shortcut only: the blocks say the same. What is kept are the attributes of the statistics' own types, by name,
so :func:`code` goes with it: sums that other code added up are of no use, and nobody has to remember a version number.
Findings are left out; they have rows of their own.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from enum import Enum
from functools import cache
from importlib import resources
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from qstress.model import LATENCY_BUCKETS_S, Cell, FindingClass, Host, Outcome
from qstress.stats.cells import CellTally
from qstress.stats.tally import PairedBuilds, PairedStratum, Tally


def dump_tally(tally: Tally) -> dict[str, object]:
    """Return what *tally* has added up, findings apart, as values that JSON can hold."""
    return {
        "blocks": tally.blocks,
        "last": tally._last,
        "opened": _plain(tally.opened),
        "cells": [_plain(cell) for cell in tally.cells],
        "pairs": [[list(pair), _plain(builds)] for pair, builds in tally.pairs.items()],
    }


def load_tally(tally: Tally, content: Mapping[str, Any]) -> None:
    """Fill *tally*, new and of the same plan, with what :func:`dump_tally` returned.

    :raises ValueError: it is of another plan, or holds what is no number; *tally* is of no use then.
    :raises KeyError, IndexError, TypeError: it is not what that returned; *tally* is of no use then.
    """
    for cell_index, host in content["opened"]:
        tally.open(cell_index, None if host is None else Host(**host))
    for cell, kept in zip(tally.cells, content["cells"], strict=True):
        for name, hint in _hints(CellTally).items():
            setattr(cell, name, _revived(hint, kept[name]))
    if [tuple(pair) for pair, _ in content["pairs"]] != list(tally.pairs):
        raise ValueError("these sums compare other builds")
    tally.pairs = {(a, b): _revived(PairedBuilds, kept) for (a, b), kept in content["pairs"]}
    tally.blocks, tally._last = content["blocks"], content["last"]


@cache
def code() -> str:
    """Return the SHA-256, in hex, of the code that adds up and of that which reads it back."""
    package = resources.files("qstress")
    sources = [source for source in package.joinpath("stats").iterdir() if source.name.endswith(".py")]
    sources += [package.joinpath("report/trace.py"), package.joinpath("store/sums.py")]
    digest = hashlib.sha256(repr((list(Outcome), list(FindingClass), LATENCY_BUCKETS_S)).encode())
    for source in sorted(sources, key=lambda source: source.name):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, list | tuple | array):
        return [_plain(item) for item in value]
    return {name: _plain(getattr(value, name)) for name in _hints(value.__class__)}


def _revived(hint: Any, data: Any) -> Any:
    """Return the value of type *hint* that :func:`_plain` made *data* of."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (hint,) = (part for part in parts if part is not type(None))
        return None if data is None else _revived(hint, data)
    if origin is dict:
        return {_revived(parts[0], key): _revived(parts[1], item) for key, item in data}
    if origin is tuple:
        return tuple(_revived(part, item) for part, item in zip(parts, data, strict=True))
    if origin is list:
        return [_revived(parts[0], item) for item in data]
    if hint is array:
        return array("I", data)
    if hint in (int, float, str) or issubclass(hint, Enum):
        return hint(data)
    return hint(**{name: _revived(its_hint, data[name]) for name, its_hint in _hints(hint).items()})


@cache
def _hints(of: type) -> dict[str, Any]:
    """Return the attributes of *of* that are kept, with their types: not its cell, nor what it links by itself."""
    left_out = (Cell, dict[int, PairedStratum])
    return {name: hint for name, hint in get_type_hints(of).items() if hint not in left_out}
