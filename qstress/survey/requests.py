"""What is sent for each command that a live QEMU has: by its recipe, else what the fuzzer's generator makes (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from qstress.fuzz.grammar import Grammar
from qstress.fuzz.hmp import Hmp
from qstress.fuzz.ops import only_reads
from qstress.fuzz.pool import Pool
from qstress.fuzz.schema import Schema
from qstress.survey.recipes import HMP, NOT_TRIED, QMP, Recipe

#: How many arguments of the generator are tried before a command counts as one that QEMU does not take here.
TRIES = 40
_QMP_STEP = "qmp "
_MARKS = frozenset("@%")


@dataclass(frozen=True, slots=True)
class Step:
    """One command: an HMP line, or a QMP command with its arguments as JSON; ``@`` and ``%`` as in a recipe."""

    command: str
    arguments: str | None = None

    def qmp(self, number: int, cpu: int | None = None, *, folder: str = "") -> tuple[str, dict[str, Any]]:
        """Return it as a QMP command and its arguments.

        :param number: stands for ``@``.
        :param cpu: which vCPU an HMP line is about where it names none; None: the monitor's own.
        :param folder: stands for ``%``, before the name of a file; ends with a slash, or is empty.
        """
        if self.arguments is not None:
            return self.command, json.loads(_filled(self.arguments, number, folder))
        line = {"command-line": _filled(self.command, number, folder)}
        return "human-monitor-command", line if cpu is None else {**line, "cpu-index": cpu}

    @property
    def text(self) -> str:
        """It as one would send it."""
        arguments = "" if self.arguments in (None, "{}") else f" {self.arguments}"
        return _filled(f"{self.command}{arguments}", 0, "")


@dataclass(frozen=True, slots=True)
class Request:
    """One way to send the command called *name*: ``step`` is charged to it, what is before and after is not.

    ``fresh``: each sending needs a guest of its own; ``changes``: the next command does.
    """

    name: str
    via: str
    step: Step
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    fresh: bool = False
    generated: bool = False

    @property
    def changes(self) -> bool:
        """Whether the guest may be another one after it."""
        return not only_reads(self.name) and (self.generated or self.fresh)


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands of one QEMU and what makes arguments for them."""

    schema: Schema
    hmp: Hmp
    pool: Pool = field(default_factory=Pool)

    def names(self) -> list[tuple[str, str]]:
        """Return (``hmp`` or ``qmp``, name) of each command, HMP's first."""
        return [*(("hmp", name) for name in sorted(self.hmp.commands)),
                *(("qmp", name) for name in sorted(self.schema.commands))]  # fmt: skip

    def requests(self, via: str, name: str) -> list[list[Request]]:
        """Return the ways to send a command: for each, what is to be tried until QEMU accepts one.

        Empty for what is not tried at all (:data:`qstress.survey.recipes.NOT_TRIED`), and for what QEMU has not.
        """
        if name in NOT_TRIED or (via, name) not in self.names():
            return []
        recipes = (HMP if via == "hmp" else QMP).get(name, ())
        if recipes:
            return [[_by_recipe(via, name, recipe)] for recipe in recipes]
        return [list(self._generated(via, name))]

    def _generated(self, via: str, name: str) -> Iterator[Request]:
        grammar = Grammar(self.schema, self.pool, lambda rng: "info version", depth=2)
        seen: set[Step] = set()
        for number in range(TRIES):
            rng = Random(f"{via} {name} {number}")
            if via == "hmp":
                step = Step(self.hmp.line(name, rng) if number else name)
            elif number:
                step = Step(name, json.dumps(grammar.arguments(name, rng)))
            else:
                step = Step(name, "{}")
            if step not in seen and not _MARKS.intersection(f"{step.command}{step.arguments}"):
                seen.add(step)
                yield Request(name, via, step, generated=True)


def _filled(text: str, number: int, folder: str) -> str:
    return text.replace("@", str(number)).replace("%", folder)


def _by_recipe(via: str, name: str, recipe: Recipe) -> Request:
    step = Step(f"{name} {recipe.text}".rstrip()) if via == "hmp" else Step(name, recipe.text or "{}")
    before, after = (tuple(map(parse_step, steps)) for steps in (recipe.before, recipe.after))
    return Request(name, via, step, before, after, recipe.fresh)


def parse_step(text: str) -> Step:
    """Return the step that *text* means: an HMP line, or ``qmp NAME {arguments}``.

    >>> parse_step("qmp query-status"), parse_step("info status")
    (Step(command='query-status', arguments='{}'), Step(command='info status', arguments=None))
    """
    if not text.startswith(_QMP_STEP):
        return Step(text)
    name, _, arguments = text.removeprefix(_QMP_STEP).strip().partition(" ")
    return Step(name, arguments.strip() or "{}")
