"""A refused command changed something (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qstress.fuzz.exchange import LOOK, Exchange, ExchangeOutcome
from qstress.fuzz.ops import Await, Op, Send, To, WaitEvent, only_reads
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle
from qstress.fuzz.protocol import Fate
from qstress.fuzz.recording import Recording

#: The queries whose answers make up the state that a refused command must not change.
STATE_QUERIES: tuple[tuple[str, dict[str, object]], ...] = (
    ("query-status", {}),
    ("qom-list", {"path": "/objects"}),
    ("qom-list", {"path": "/machine/peripheral"}),
    ("query-chardev", {}),
    ("query-named-block-nodes", {"flat": True}),
)
#: What of an answer tells the state; in a regular expression of grep's too.
NAMES = rb'"(?:name|label|node-name|status)": "([^"#]*)"'
_NAMES = re.compile(NAMES)
#: Commands after which the run state changes by itself, some time later.
_GOES_ON = re.compile(rb"migrat|snapshot|savevm|loadvm|dump|xen-|nmi|watchdog")
_REFUSED, _CHANGED, _OR = "refused ", " changed ", " or "
#: How long a state may take to change by itself, in a replay without the commands that are blamed for it.
PLACEBO_S = 2.0

GuestState = tuple[frozenset[bytes], ...]


def state_of(answers: Sequence[bytes | None]) -> GuestState | None:
    """Return the state that the answers to :data:`STATE_QUERIES` show; None when one is missing or an error."""
    if len(answers) != len(STATE_QUERIES) or any(answer is None or b'"error": {' in answer for answer in answers):
        return None
    return tuple(frozenset(_NAMES.findall(answer)) for answer in answers if answer is not None)


class StateOracle(Oracle):
    """The state before and after commands that were all refused, where nothing else can have changed it."""

    kind = "state"
    expected = "a command that is refused changes nothing"
    shell_shows = "it prints what differs between two answers of QEMU"
    must_repeat = True
    last_exchange_whole = True

    def __init__(self) -> None:
        self._state: GuestState | None = None
        self._goes_on = False  # something was begun that changes the run state by itself

    def judge(self, seen: Observed) -> list[Fault]:
        """Return the change, blamed on all commands of the exchange that do not only read."""
        before, self._state = self._state, self._state_after(seen.exchange, seen.outcome)
        after, answers = self._state, seen.answers
        self._goes_on = self._goes_on or any(
            each.digest.fate is not Fate.REFUSED and _GOES_ON.search(each.send.data) for each in answers
        )
        blamed = [each for each in answers if not each.send.is_state_query and not only_reads(each.send.command)]
        refused = all(each.digest.fate is not Fate.RETURNED for each in blamed)
        quiet = seen.exchange.kind in ("qmp", "corpus") and not seen.outcome.strays and blamed
        if before is None or after is None or before == after or not (refused and quiet):
            return []
        if self._goes_on and before[1:] == after[1:]:
            return []
        names = _OR.join(dict.fromkeys(each.send.label for each in blamed))
        changed = [(query, old ^ new) for (query, _), old, new in zip(STATE_QUERIES, before, after, strict=True)
                   if old != new]  # fmt: skip
        title = f"{_REFUSED}{names}{_CHANGED}{', '.join(query for query, _ in changed)}"
        return [Fault(self.kind, title, names, tuple(f"{query}: {sorted(what)}" for query, what in changed))]

    def _state_after(self, exchange: Exchange, outcome: ExchangeOutcome) -> GuestState | None:
        """Return the state as queried behind an exchange; the last one still holds where nothing could change it."""
        answers = [
            result for op, result in zip(exchange.ops, outcome.results, strict=True)
            if isinstance(op, Send) and op.is_state_query
        ]  # fmt: skip
        if answers:
            return state_of([answer if isinstance(answer, bytes) else None for answer in answers])
        reads = all(isinstance(op, Send) and op.to is To.QMP and only_reads(op.command) for op in exchange.ops)
        return self._state if reads else None

    def signature(self, title: str) -> str:
        """What changed, without the commands: fewer and fewer of them are blamed."""
        return title.rpartition(_CHANGED)[2]

    def blames_among_others(self, title: str, other: str) -> bool:
        """``refused A or B changed X``: once one made smaller blames A alone, it is one of all that blame A too."""
        few, _, same = title.removeprefix(_REFUSED).rpartition(_CHANGED)
        many, _, changed = other.removeprefix(_REFUSED).rpartition(_CHANGED)
        return other.startswith(_REFUSED) and changed == same and set(few.split(_OR)) <= set(many.split(_OR))

    def before_reduction(self, recording: Recording) -> Recording:
        """Return *recording* with a look at the state right before its last step, so that all others may go."""
        *steps, last = recording.steps
        look = []
        for number, (command, arguments) in enumerate(STATE_QUERIES):
            message = {"execute": command, "arguments": arguments, "id": f"s0{number}"}
            look.append(Send(To.QMP, json.dumps(message).encode() + b"\n", Await.REPLY, f"s0{number}", command))
        return replace(recording, steps=(*steps, Exchange(LOOK, tuple(look)), last))

    def placebo(self, recording: Recording) -> Recording:
        """Return *recording* with a command that QEMU does not have in the place of those that it refused last.

        What was begun before them (a migration, a job) then has :data:`PLACEBO_S` to change the state without them.
        """
        *steps, last = recording.steps
        looks = tuple(send for send in last.sends if send.is_state_query)
        refused = Send(To.QMP, b'{"execute": "qstress-placebo", "id": "q0"}\n', Await.REPLY, "q0", "qstress-placebo")
        ops: tuple[Op, ...] = (WaitEvent("none of that name", PLACEBO_S), refused, *looks)
        return replace(recording, steps=(*steps, replace(last, ops=ops)))

    def shell_verdict(self, recording: Recording) -> Iterator[str]:
        """It shows when the names in the last two answers differ; a state that was queried once shows nothing."""
        if not _looks(recording):
            return
        yield "changed="
        for before, after in _looks(recording):
            yield f"names {before} >before && names {after} >after && {{ diff before after || changed=yes; }}"
        yield 'lives && test -n "$changed"'


def _looks(recording: Recording) -> list[tuple[str, str]]:
    """Return the ids of the last two answers of each state query whose answer changed; none where it was asked once."""
    queries = [name for name, _ in STATE_QUERIES]
    idents = [send.ident for step in recording.steps for send in step.sends if send.is_state_query]
    before, after = idents[-2 * len(queries) : -len(queries)], idents[-len(queries) :]
    changed = StateOracle().signature(recording.title).split(", ")
    return [(old, new) for name, old, new in zip(queries, before, after, strict=False) if name in changed]
