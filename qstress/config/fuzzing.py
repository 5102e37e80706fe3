"""The section ``fuzz`` of a configuration, resolved.

It is no part of :class:`qstress.config.settings.Settings`: a soak does not look at it, and must not become another
experiment by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qstress.config.schema import Config
from qstress.config.tree import Loc, refusal
from qstress.config.wording import problem_at
from qstress.firmware import firmware_named


@dataclass(frozen=True, slots=True)
class FuzzSettings:
    """How a session fuzzes; the words are those of :class:`qstress.config.schema.Fuzz`."""

    guests: tuple[tuple[str, ...], ...]
    commands: int
    wrong: float
    depth: int
    mix: dict[str, float]
    weights: dict[str, float]
    reply_s: float
    reduce_s: float
    known: Path | None


def fuzz_settings(config: Config, base: Path) -> FuzzSettings:
    """Return how *config* fuzzes; paths in it are relative to *base*.

    :raises ConfigError: it asks for more than one kind of guest: one session is one build and one shape.
    """
    if problems := list(_broken(config)):
        raise refusal([problem_at(config._origin, loc, text) for loc, text in problems])
    known = base / Path(config.fuzz.known).expanduser() if config.fuzz.known else None
    return FuzzSettings(**config.fuzz.model_dump(exclude={"known"}), known=known)


def _broken(config: Config) -> Iterator[tuple[Loc, str]]:
    for loc, count in ((("builds",), len(config.builds)), (("guest", "smp"), len(config.guest.smp)),
                       (("guest", "machine"), len(config.guest.machine))):  # fmt: skip
        if count > 1:
            yield loc, "must be one for fuzzing; give the others a session of their own"
    if config.stop.trials is None and config.stop.duration is None:
        yield ("stop",), "nothing would end this session; add for example  stop: {duration: 10m}"
    if not firmware_named(config.guest.firmware).dumps_tell:
        word = config.guest.firmware
        yield ("guest", "firmware"), f"{word} cannot be fuzzed: nothing but the console tells how far it is"
