"""Every oracle over one exchange after another: what is wrong with this QEMU (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qstress.fuzz import oracles, protocol
from qstress.fuzz.generator import Exchange, Judged
from qstress.fuzz.ops import Await, Footprint, Send, To
from qstress.fuzz.played import Played
from qstress.fuzz.protocol import Fate, Reader, ident_of


class Kind(StrEnum):
    """What kind of thing is wrong."""

    CRASH = "crash"
    STALL = "stall"  # a monitor does not answer, or HMP does not return to its prompt
    PROTOCOL = "protocol"  # a reply or an event breaks the protocol or the schema
    LEAK = "leak"
    STATE = "state"  # a refused command changed something
    HUNG_UP = "hung-up"  # QEMU closed a monitor although it lives
    NOTE = "note"  # no finding: the sandbox or a limit of ours spoke


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. Equal faults have equal titles; ``suspect`` is the command that gets the blame.

    ``telling`` is a part of what a monitor said that shows it, where that does not change from run to run.
    """

    kind: Kind
    title: str
    suspect: str
    because: tuple[str, ...] = ()
    telling: str = ""


class Judge:
    """Judges the exchanges of one guest, in order.

    :param host_bytes: this host's memory, see :func:`qstress.fuzz.oracles.ending`.
    """

    def __init__(self, reader: Reader, *, host_bytes: int) -> None:
        self._reader = reader
        self._host_bytes = host_bytes
        self._state: tuple[frozenset[bytes], ...] | None = None
        self._asked_to_end = False
        self._goes_on = False  # something was begun that changes the run state by itself
        self._last_sends: list[Send] = []

    def judge(self, exchange: Exchange, played: Played, judged: Sequence[Judged]) -> list[Fault]:
        """Return what is wrong with what came of *exchange*, worst first."""
        sends = [op for op in exchange.ops if isinstance(op, Send)]
        self._asked_to_end = self._asked_to_end or any(_may_end(send) for send in sends)
        faults = [*self._ended(played, judged), *_stalled(played)]
        if played.hung_up:
            at = _unanswered(judged)
            faults.append(Fault(Kind.HUNG_UP, f"QEMU hung up on a monitor at {at} and lives", at))
        if played.lingers:
            faults.append(Fault(Kind.STALL, "quit: it does not end: QEMU lives on", "quit"))
        for each in judged:
            if each.digest.fault:
                about = oracles.subject(each.send)
                faults.append(Fault(Kind.PROTOCOL, f"{about}: {each.digest.fault}", about))
        faults += self._strays(sends, played)
        self._last_sends = sends
        if exchange.kind == "probe-again":
            faults += _grown([result for result in played.results if isinstance(result, Footprint)], judged)
        faults += self._changed(exchange, played, judged)
        return faults

    def _ended(self, played: Played, judged: Sequence[Judged]) -> list[Fault]:
        if played.ended is None:
            return []
        at = _unanswered(judged)
        shutdown = any(b'"event": "SHUTDOWN"' in line for line in played.strays)
        ending = oracles.ending(
            played.ended.returncode, played.ended.said, asked=self._asked_to_end, shutdown=shutdown, suspect=at,
            host_bytes=self._host_bytes,
        )  # fmt: skip
        because = (f"QEMU ended with status {played.ended.returncode} at {at}", *played.ended.said.splitlines()[-3:])
        if ending.note:
            return [Fault(Kind.NOTE, ending.note, at, because)]
        return [Fault(Kind.CRASH, ending.title, at, because)] if ending.title else []

    def _strays(self, sends: Sequence[Send], played: Played) -> list[Fault]:
        corrupt = any(send.wait is Await.NOTHING for send in sends)
        outstanding = [send.ident for send in sends] if played.stall else ()
        faults = []
        for line in played.strays:
            if wrong := self._reader.stray(line, garbage=corrupt, outstanding=outstanding):
                ident = ident_of(line)
                known = [send for send in (*sends, *self._last_sends) if ident and send.ident == ident]
                named = known or (sends if len(sends) == 1 else [])
                at = oracles.subject(named[0]) if named else ""
                text = line[:200].decode(errors="replace").strip()
                faults.append(
                    Fault(Kind.PROTOCOL, f"{at}: {wrong}" if at else wrong, at, (text,), protocol.telling(line, wrong))
                )
        return faults

    def _changed(self, exchange: Exchange, played: Played, judged: Sequence[Judged]) -> list[Fault]:
        """Compare the state before and after, where nothing that was accepted can have changed it."""
        before, self._state = self._state, self._state_after(exchange, played)
        self._goes_on = self._goes_on or any(
            each.digest.fate is not Fate.REFUSED and oracles.changes_runstate_later(each.send) for each in judged
        )
        others = [each for each in judged if not each.send.ident.startswith("s")]
        blamed = [each for each in others if not oracles.only_reads(each.send.command)]
        refused = all(each.digest.fate is not Fate.RETURNED for each in blamed)
        quiet = exchange.kind in ("qmp", "corpus") and not played.strays and blamed
        if before is None or self._state is None or before == self._state or not (refused and quiet):
            return []
        if self._goes_on and before[1:] == self._state[1:]:
            return []
        names = " or ".join(dict.fromkeys(oracles.subject(each.send) for each in blamed))
        what = [
            query for (query, _), old, new in zip(oracles.STATE_QUERIES, before, self._state, strict=True) if old != new
        ]
        because = tuple(
            f"{query}: {sorted(old ^ new)}"
            for (query, _), old, new in zip(oracles.STATE_QUERIES, before, self._state, strict=True) if old != new
        )  # fmt: skip
        return [Fault(Kind.STATE, f"refused {names} changed {', '.join(what)}", names, because)]

    def _state_after(self, exchange: Exchange, played: Played) -> tuple[frozenset[bytes], ...] | None:
        """Return the state as queried behind an exchange; the last one still holds where nothing could change it."""
        answers = [
            result for op, result in zip(exchange.ops, played.results, strict=True)
            if isinstance(op, Send) and op.ident.startswith("s")
        ]  # fmt: skip
        if answers:
            return oracles.state_of([answer if isinstance(answer, bytes) else None for answer in answers])
        reads = all(isinstance(op, Send) and op.to is To.QMP and oracles.only_reads(op.command) for op in exchange.ops)
        return self._state if reads else None


def _stalled(played: Played) -> list[Fault]:
    stall = played.stall
    if stall is None:
        return []
    at = oracles.waited_for(stall.send) if stall.send else f"{stall.to}: connect"
    what = "no prompt after" if stall.to is To.HMP and stall.send else "no reply to"
    because = (
        f"silent for {stall.waited_s:.1f} s; the main thread used {100 * stall.busy:.0f} % of a core; QEMU has "
        f"{'not read' if stall.unread else 'read'} all that was sent"
    )
    return [Fault(Kind.STALL, f"{what} {at}: {stall.picture}", at, (because, *stall.waits))]


def _grown(looks: Sequence[Footprint], judged: Sequence[Judged]) -> list[Fault]:
    grown = oracles.growth(looks, oracles.REPEATS_AGAIN)
    if grown is None:
        return []
    at = oracles.waited_for(judged[-1].send)
    what = "descriptors" if grown.descriptors_each else "memory"
    because = f"each costs {grown.bytes_each:.0f} bytes and {grown.descriptors_each:.2f} descriptors, in every round"
    return [Fault(Kind.LEAK, f"{at} leaks {what}", at, (because, f"answered with: {judged[-1].digest.label}"))]


def _unanswered(judged: Sequence[Judged]) -> str:
    """Return what QEMU was at: the first command without an answer, or the last one of all."""
    lost = [each.send for each in judged if each.digest.fate is Fate.LOST]
    sends = lost[:1] or [each.send for each in judged][-1:]
    return oracles.subject(sends[0]) if sends else "corrupt bytes"


def _may_end(send: Send) -> bool:
    return b"quit" in send.data or b"powerdown" in send.data or (send.to is To.HMP and send.data.strip() == b"q")
