"""At the end of a guest's life some commands are repeated between looks at the footprint, to find leaks (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qstress.fuzz.exchange import PROBE_AGAIN, Exchange
from qstress.fuzz.messages import Messages
from qstress.fuzz.ops import Await, Footprint, MeasureFootprint, Op, Result, Send, To, only_reads
from qstress.fuzz.oracles.leak import REPEATS, REPEATS_AGAIN, ROUNDS, growth
from qstress.fuzz.protocol import Digest, Fate

#: Commands that are probed at the end of a guest's life.
PROBES = 12
#: A command with a longer answer than this is not probed.
PROBED_BYTES = 4096


class Probes:
    """The probes of one guest.

    :param probed: how often each command was probed by the session; counted up here.
    """

    def __init__(self, messages: Messages, probed: Counter[str]) -> None:
        self._messages, self._probed = messages, probed
        self._candidates: dict[str, Send] = {}
        self._under_way: Send | None = None
        self._left = PROBES

    def consider(self, send: Send, answer: bytes, digest: Digest) -> None:
        """Remember a command that should leave nothing behind: it was refused, or only reads."""
        about = send.label
        reads = only_reads(about.removeprefix("hmp "))
        if send.to is To.QMP and len(answer) < PROBED_BYTES and (digest.fate is not Fate.RETURNED or reads):
            self._candidates[about] = send

    def next(self) -> Exchange | None:
        """Return the next probe, of the least probed command; None when this guest has had its share.

        Each command in its turn, however many things it can be about: with hundreds of drivers ``device_add`` would be
        probed more often than all others together.
        """
        if self._under_way is not None:  # it seems to grow: once more, longer
            probing, self._under_way = self._under_way, None
            return self._probe(PROBE_AGAIN, probing, REPEATS_AGAIN)
        if not self._left or not self._candidates:
            return None
        self._left -= 1
        families = Counter[str]()
        for name, count in self._probed.items():
            families[_family(name)] += count
        about = min(self._candidates, key=lambda name: (families[_family(name)], self._probed[name], name))
        self._probed[about] += 1
        self._under_way = self._candidates.pop(about)
        return self._probe("probe", self._under_way, REPEATS)

    def feed(self, exchange: Exchange, results: Sequence[Result]) -> None:
        """Take in what came of *exchange*: a command that did not grow is not probed again."""
        looks = [result for result in results if isinstance(result, Footprint)]
        if exchange.kind == "probe" and growth(looks, REPEATS) is None:
            self._under_way = None

    def _probe(self, kind: str, send: Send, repeats: int) -> Exchange:
        head, _, tail = send.data.rpartition(b'"' + send.ident.encode() + b'"')
        ops: list[Op] = [self._messages.plain("stop"), MeasureFootprint()]
        for _ in range(ROUNDS):
            for _ in range(repeats):
                ident = self._messages.ident()
                ops.append(Send(To.QMP, head + b'"' + ident.encode() + b'"' + tail, Await.REPLY, ident, send.command))
            ops.append(MeasureFootprint())
        return Exchange(kind, tuple(ops))


def _family(about: str) -> str:
    """Return the command of a label; each of HMP's is one of its own."""
    return about if about.startswith("hmp ") else about.partition(" ")[0]
