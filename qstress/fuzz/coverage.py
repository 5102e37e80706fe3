"""What a session has reached: which commands, how they were answered, with which members, and what is left (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qstress.fuzz.protocol import Digest, Fate
from qstress.fuzz.schema import Schema


@dataclass(slots=True)
class Reached:
    """One command: how often it ended in which way, and the members that were in arguments of an acceptable shape."""

    fates: Counter[str] = field(default_factory=Counter)
    members: set[str] = field(default_factory=set)
    last_refusal: str = ""

    @property
    def sent(self) -> int:
        """How often it was sent."""
        return self.fates.total()

    @property
    def accepted(self) -> int:
        """How often its arguments had a shape that QEMU accepts, whatever the command then did with them."""
        return self.fates[Fate.RETURNED] + self.fates[Fate.REFUSED]


class Coverage:
    """All commands of a session, QMP's by name and HMP's as ``hmp NAME``; and which answers are known."""

    def __init__(self) -> None:
        self.commands: defaultdict[str, Reached] = defaultdict(Reached)
        self.keys: set[str] = set()

    def count(self, command: str, digest: Digest, members: Iterable[str] = ()) -> None:
        """Count one answered command."""
        reached, fate = self.commands[command], digest.fate
        reached.fates[fate] += 1
        if fate is Fate.RETURNED or fate is Fate.REFUSED:
            reached.members.update(members)
        elif fate is not Fate.LOST:
            reached.last_refusal = digest.label

    def new(self, command: str, digest: Digest, state: str) -> str:
        """Return the key of an answer that was never seen for this command in this run state, else nothing."""
        key = f"{command} {digest.fate} {digest.label} {state}"
        if key in self.keys:
            return ""
        self.keys.add(key)
        return key

    def document(self) -> dict[str, Any]:
        """Return the counts as JSON-able values (the keys are in the corpus)."""
        return {
            name: {"fates": reached.fates, "members": sorted(reached.members), "last_refusal": reached.last_refusal}
            for name, reached in sorted(self.commands.items())
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Take over what :meth:`document` returned."""
        for name, made in document.items():
            self.commands[name] = Reached(Counter(made["fates"]), set(made["members"]), made["last_refusal"])


@dataclass(frozen=True, slots=True)
class SchemaCoverage:
    """How many of the schema's commands were sent, and sent with an acceptable shape; and why the rest was not."""

    commands: int
    sent: int
    accepted: int
    members: int
    members_exercised: int
    missing: Mapping[str, str]


def schema_coverage(coverage: Coverage, schema: Schema, never: Iterable[str] = ()) -> SchemaCoverage:
    """Return what of *schema* was reached; *never* are commands whose weight is 0."""
    sent = accepted = members = exercised = 0
    missing: dict[str, str] = {}
    for name, command in sorted(schema.commands.items()):
        reached = coverage.commands.get(name, Reached())
        known = {member.name for member in schema.object(command.arguments).members}
        members += len(known)
        exercised += len(known & reached.members)
        sent += reached.sent > 0
        accepted += reached.accepted > 0
        if not reached.accepted:
            missing[name] = _why(reached, name in never)
    return SchemaCoverage(len(schema.commands), sent, accepted, members, exercised, missing)


def _why(reached: Reached, never: bool) -> str:
    if never:
        return "its weight is 0"
    if not reached.sent:
        return "not drawn yet"
    if reached.fates[Fate.LOST] == reached.sent:
        return f"sent {reached.sent} times, never answered"
    return f"sent {reached.sent} times, last refused with: {reached.last_refusal}"
