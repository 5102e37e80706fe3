"""Sequences of commands that reached something new, kept for mutation (pure; the session writes them down)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from qstress.errors import ConfigError
from qstress.fuzz.pool import pick

#: How many of the latest sequences are drawn from.
DRAWN_FROM = 2000


@dataclass(frozen=True, slots=True)
class Item:
    """One command of a sequence: QMP with its arguments, or an HMP line (``arguments`` is the line then)."""

    command: str
    arguments: Any
    hmp: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A sequence and the key of the answer that its last command was the first to get."""

    key: str
    items: tuple[Item, ...]


class Corpus:
    """The sequences so far; and by command how often it got the blame for a finding, so that it is sent less often."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.suspects = Counter[str]()
        self.probed = Counter[str]()  # how often a command was probed for growth

    def draw(self, rng: Random) -> Entry | None:
        """Return one of the latest sequences, the newest most often; None when there is none."""
        latest = self.entries[-DRAWN_FROM:]
        return latest[int(len(latest) * rng.random() ** 0.5)] if latest else None

    def mutated(self, entry: Entry, rng: Random) -> list[Item]:
        """Return the items of *entry* with one or two of them dropped, doubled, swapped, or of another entry added."""
        items = list(entry.items)
        for _ in range(1 + int(rng.random() * 2)):
            at = int(rng.random() * len(items)) if items else 0
            match int(rng.random() * 5):
                case 0 if len(items) > 1:
                    del items[at]
                case 1 if items:
                    items.insert(at, items[at])
                case 2 if len(items) > 1:
                    other = int(rng.random() * len(items))
                    items[at], items[other] = items[other], items[at]
                case 3:
                    items += pick(rng, self.entries[-DRAWN_FROM:]).items[-2:]
                case _:
                    pass  # as it is: the caller varies arguments
        return items


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """Return *entry* as a JSON object."""
    return {"key": entry.key, "items": [[item.command, item.arguments, item.hmp] for item in entry.items]}


def entry_from_json(made: Mapping[str, Any]) -> Entry:
    """Return the entry that :func:`entry_to_json` wrote.

    :raises ConfigError: it is none.
    """
    try:
        items = tuple(Item(str(command), arguments, bool(hmp)) for command, arguments, hmp in made["items"])
        return Entry(str(made["key"]), items)
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"not an entry of a corpus: {str(made)[:100]}") from error
