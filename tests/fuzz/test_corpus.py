"""Sequences are kept, drawn, varied, and survive the disk."""

from __future__ import annotations

import json
from random import Random

import pytest

from qstress.errors import ConfigError
from qstress.fuzz.corpus import Corpus, Entry, Item, entry_from_json, entry_to_json

ENTRY = Entry("stop returned {} running", (Item("blockdev-add", {"driver": "raw"}), Item("info block", None, hmp=True)))


def test_an_entry_survives_its_line() -> None:
    assert entry_from_json(json.loads(json.dumps(entry_to_json(ENTRY)))) == ENTRY


@pytest.mark.parametrize("made", [{}, {"key": "k"}, {"key": "k", "items": [[1]]}, {"key": "k", "items": None}])
def test_what_is_no_entry_is_refused(made: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="not an entry"):
        entry_from_json(made)


def test_the_latest_entries_are_drawn_most_often() -> None:
    corpus, rng = Corpus(), Random(1)
    assert corpus.draw(rng) is None
    for number in range(100):
        corpus.entries.append(Entry(str(number), ()))
    drawn = [int(entry.key) for entry in (corpus.draw(rng) for _ in range(2000)) if entry]
    assert sum(number >= 50 for number in drawn) > 1300
    assert min(drawn) < 10


def test_mutations_drop_double_swap_and_splice() -> None:
    corpus, rng = Corpus(), Random(2)
    other = Item("other", {})
    corpus.entries.append(Entry("x", (other,)))
    entry = Entry("y", tuple(Item(name, {}) for name in "abc"))
    made = {"".join(item.command for item in corpus.mutated(entry, rng)) for _ in range(300)}
    assert {"abc", "bc", "aabc", "bac", "abcother"} <= made
    assert entry.items == tuple(Item(name, {}) for name in "abc")
