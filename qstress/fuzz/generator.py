"""What is sent next: a mix of everything, decided by a seed and the replies so far, by nothing else (pure).

One :class:`Generator` lives as long as one guest. It hands out exchanges and is fed what came of each; time, events and
the order in which bytes arrive never reach it, so a recorded transcript fed back gives the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from qstress.fuzz.corpus import Corpus, Entry, Item
from qstress.fuzz.corrupt import RESET, corrupt, pieces
from qstress.fuzz.coverage import Coverage
from qstress.fuzz.exchange import Exchange
from qstress.fuzz.grammar import Grammar
from qstress.fuzz.hmp import Hmp
from qstress.fuzz.lifecycle import Step, draw_scenario, qcow2_disk
from qstress.fuzz.messages import Draft, Messages, cut_message
from qstress.fuzz.ops import Await, Close, Open, Result, Send, To, WaitEvent, WaitExit, only_reads
from qstress.fuzz.pool import Pool, Weighted, pick
from qstress.fuzz.probes import Probes
from qstress.fuzz.protocol import Answered, Digest, Fate, Reader, runstate
from qstress.fuzz.schema import Schema

#: The kinds of exchange and how often each is drawn.
MIX: dict[str, float] = {
    "qmp": 52, "hmp": 12, "corpus": 14, "lifecycle": 8, "hammer": 5, "corrupt": 5, "pieces": 2, "interleaved": 1,
    "reconnect": 1,
}  # fmt: skip
#: How often a command is drawn, where that is not 1: what ends the guest seldom, what has a long reply seldom, the one
#: that opens all of HMP often. HMP's as ``hmp NAME``. ``device_add`` has much to vary and is still drawn no more
#: than the rest, because a refused one waits for RCU (``drain_call_rcu``), 60 ms where 150 other commands take as long;
#: scenarios (:mod:`qstress.fuzz.lifecycle`) plug devices too.
WEIGHTS: dict[str, float] = {
    "human-monitor-command": 6, "quit": 0.02, "hmp quit": 0.02, "system_powerdown": 0.2, "hmp system_powerdown": 0.2,
    "query-qmp-schema": 0.1, "query-command-line-options": 0.2, "qom-list-types": 0.3, "query-commands": 0.2,
    "query-cpu-definitions": 0.3, "query-machines": 0.3, "trace-event-get-state": 0.3, "trace-event-set-state": 0.2,
    "hmp trace-event": 0.2, "hmp info trace-events": 0.2, "hmp info qdm": 0.2, "hmp info qom-tree": 0.2, "hmp log": 0.2,
    "hmp info mtree": 0.3, "hmp help": 0.3, "blockdev-add": 3, "object-add": 3, "qom-set": 3, "qom-get": 2,
    "chardev-add": 2, "netdev_add": 2, "transaction": 2, "device-list-properties": 2, "hmp print": 2,
}  # fmt: skip
#: How much more often a command is drawn until it was accepted once.
UNMET = 8
BATCH = 8
HAMMER = 16
#: How long a QEMU may take to be gone once it was told to quit.
QUIT_S = 10.0
#: Kinds of exchange in which each send is a whole message.
_WHOLE = ("qmp", "corpus", "planned", "lifecycle", "hammer")
_HAMMERED = ("info cpus", "info lapic", "info tlb", "info mem", "info mtree -f", "info qtree", "info block")
_KEYS = ("\t", "\t\t", "\x1b[A", "\x1b[B", "\x01", "\x05", "\x0b", "\x7f", "\x1b[D\x1b[D", "\x17", "\x15", "\x10")


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """How a session fuzzes: ``wrong`` is the share of commands with something wrong, ``depth`` caps nesting,
    ``commands`` is how many a guest gets, ``mix`` and ``weights`` override :data:`MIX` and :data:`WEIGHTS`,
    ``hammered`` are HMP lines that are repeated in bursts."""

    wrong: float = 0.3
    depth: int = 5
    commands: int = 3000
    hammered: tuple[str, ...] = ("info registers -a",)
    mix: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, command: str) -> float:
        """Return how often *command* is drawn, compared with others."""
        return self.weights.get(command, WEIGHTS.get(command, 1.0))


@dataclass(slots=True)
class Knowledge:
    """What a whole session knows, whatever guest it is at."""

    schema: Schema
    hmp: Hmp
    pool: Pool
    reader: Reader
    corpus: Corpus
    coverage: Coverage
    settings: GeneratorSettings
    kinds: Weighted = field(init=False)  # of exchanges

    def __post_init__(self) -> None:
        mix = {**MIX, **self.settings.mix}
        self.kinds = Weighted(mix, mix.values())


class Generator:
    """Everything that is sent to one guest."""

    def __init__(self, knowledge: Knowledge, seed: int, life: int) -> None:
        self._k = knowledge
        self._rng = Random(f"{seed}/{life}")
        self._grammar = Grammar(knowledge.schema, knowledge.pool, self._hmp_line, depth=knowledge.settings.depth)
        self._qmp = self._weighted(knowledge.schema.commands, "")
        self._hmp = self._weighted(knowledge.hmp.commands, "hmp ")
        self._messages = Messages(knowledge.schema, knowledge.hmp, self._rng)
        self._probes = Probes(self._messages, knowledge.corpus.probed)
        self._cont_after = int(self._rng.random() * 12)
        self._left = knowledge.settings.commands
        self._recent: deque[Item] = deque(maxlen=5)  # accepted commands that may have changed something
        self._may_quit = self._rng.random() < 0.3
        self._planned: deque[list[Draft]] = deque()
        self._items: tuple[Item | None, ...] = ()  # what the ops of the last exchange stand for in a corpus
        self._plan_start()
        self.runstate = "prelaunch"

    def next(self) -> Exchange | None:
        """Return what to do next; None when this guest has had its share."""
        if self._planned:
            return self._exchange("planned", self._planned.popleft())
        if self._left <= 0:
            return self._last()
        self._left -= 1
        self._cont_after -= 1
        if self._cont_after == 0 or (self._cont_after < 0 and self.runstate != "running" and self._rng.random() < 0.1):
            return self._exchange("lifecycle", self._resumed())
        kind = self._k.kinds.draw(self._rng)
        return self._exchange(kind, _MAKERS[kind](self))

    def feed(self, exchange: Exchange, results: Sequence[Result]) -> list[Answered]:
        """Take in what came of *exchange*, the last one handed out; return its commands with their answers, judged."""
        answers = []
        for op, item, result in zip(exchange.ops, self._items, results, strict=True):
            if isinstance(op, Send) and op.wait is not Await.NOTHING:
                answer = result if isinstance(result, bytes) else None
                digest = self._fed(op, item, answer)
                if item is not None and exchange.kind in _WHOLE and answer is not None:
                    self._probes.consider(op, answer, digest)
                answers.append(Answered(op, digest))
        self._probes.feed(exchange, results)
        return answers

    def _fed(self, send: Send, item: Item | None, answer: bytes | None) -> Digest:
        arguments = item.arguments if item is not None and isinstance(item.arguments, dict) else {}
        about = arguments.get("path") or arguments.get("typename") or arguments.get("implements")
        digest = self._k.reader.read(send, answer, about if isinstance(about, str) else "")
        if send.command == "query-status":
            self.runstate = runstate(answer) or self.runstate
        if item is None:
            if send.command in ("qmp_capabilities", "quit"):
                self._k.coverage.count(send.command, digest, ("enable",) if b"enable" in send.data else ())
            return digest
        self._left -= 1
        returned = digest.fate is Fate.RETURNED
        if returned and not item.hmp:
            self._k.pool.learn(send.command, arguments, digest.value)
        name = f"hmp {send.command}" if item.hmp else send.command
        self._k.coverage.count(name, digest, arguments)
        if send.command == "human-monitor-command":  # it also counts as the HMP command that it carries
            self._k.coverage.count(send.label, digest)
        if key := self._k.coverage.new(name, digest, self.runstate):
            self._k.corpus.entries.append(Entry(key, (*self._recent, item)))
        if returned and not only_reads(send.command):
            self._recent.append(item)
        return digest

    # how a life begins and ends

    def _plan_start(self) -> None:
        self._planned.append([(Open(To.QMP), None), (self._messages.capabilities(), None), (Open(To.HMP), None)])
        learn = [Item("query-hotpluggable-cpus", {}), Item("query-chardev", {}), Item("qom-list", {"path": "/machine"})]
        learn.append(Item("qom-list", {"path": self._k.pool.draw("path", self._rng)}))
        if len(self._k.pool.names["driver"]) < 100:
            learn.append(Item("qom-list-types", {"implements": "device", "abstract": False}))
            learn.append(Item("qom-list-types", {}))
        learn.append(Item("device-list-properties", {"typename": self._k.pool.draw("driver", self._rng)}))
        suspects = self._k.corpus.suspects  # what ends a guest must not end each of them at its start
        self._planned.append([self._messages.qmp(item) for item in learn if item.command not in suspects])
        if self._rng.random() < 0.5:
            self._planned.extend(self._steps(qcow2_disk("qdisk")))

    def _last(self) -> Exchange | None:
        """Probe some commands for growth, then end the guest, politely now and then."""
        made = self._probes.next()
        if made is None and self._may_quit:
            self._may_quit = False
            made = Exchange("quit", (self._messages.plain("quit"), WaitExit(QUIT_S)))
        self._items = (None,) * len(made.ops) if made else ()
        return made

    # the kinds of exchange

    def _batch(self) -> list[Draft]:
        return [self._messages.qmp(self._drawn()) for _ in range(1 + int(self._rng.random() * (2 * BATCH - 1)))]

    def _lines(self) -> list[Draft]:
        return [self._messages.line(self._hmp_item()) for _ in range(1 + int(self._rng.random() * 4))]

    def _from_corpus(self) -> list[Draft]:
        entry = self._k.corpus.draw(self._rng)
        if entry is None:
            return self._batch()
        made: list[Draft] = []
        for item in self._k.corpus.mutated(entry, self._rng):
            if item.hmp:
                made.append(self._messages.line(item))
                continue
            odds = self._rng.random()
            if odds < 0.25 and item.command in self._k.schema.commands:
                item = Item(item.command, self._grammar.arguments(item.command, self._rng))
            elif odds < 0.4 and isinstance(item.arguments, dict):
                item = Item(item.command, self._grammar.spoiled(item.arguments, self._rng))
            made.append(self._messages.qmp(item))
        return made

    def _lifecycle(self) -> list[Draft]:
        first, *others = self._steps(draw_scenario(self._k.pool, self._rng))
        self._planned.extend(others)
        return first

    def _hammer(self) -> list[Draft]:
        """The stream that the known bug needs, in short bursts: the same read-only command again and again."""
        lines = self._k.settings.hammered if self._rng.random() < 0.5 else _HAMMERED
        if lines and self._rng.random() < 0.7:
            item = Item("human-monitor-command", {"command-line": pick(self._rng, lines)})
        else:
            item = Item(pick(self._rng, ("query-status", "query-cpus-fast", "query-block", "query-pci")), {})
        return [self._messages.qmp(item) for _ in range(HAMMER)]

    def _corrupt(self) -> list[Draft]:
        message, _ = self._messages.qmp(self._drawn())
        bent = corrupt(message.data.replace(b'"' + message.ident.encode() + b'"', b'"x"'), self._rng)
        parts = pieces(bent, self._rng) if self._rng.random() < 0.3 else (bent,)
        sends: list[Draft] = [(Send(To.QMP, part, Await.NOTHING), None) for part in parts if part]
        return [*sends, (Send(To.QMP, RESET, Await.NOTHING), None), (self._messages.plain("query-yank"), None)]

    def _pieces(self) -> list[Draft]:
        """A good message in many writes."""
        message, item = self._messages.qmp(self._drawn())
        return cut_message(message, item, pieces(message.data, self._rng))

    def _interleaved(self) -> list[Draft]:
        """Half a QMP message, an HMP line, the other half."""
        message, item = self._messages.qmp(self._drawn())
        middle = 1 + int(self._rng.random() * (len(message.data) - 1))
        first, last = cut_message(message, item, (message.data[:middle], message.data[middle:]))
        return [first, self._messages.line(self._hmp_item()), last]

    def _reconnect(self) -> list[Draft]:
        """Hang up on a monitor, on QMP as a rule before it has answered, and come back."""
        if self._rng.random() < 0.3:
            unfinished = Send(To.HMP, pick(self._rng, (b"info regi", b"", b"\t", b"info mtree\n")), Await.NOTHING)
            return [(unfinished, None), (Close(To.HMP), None), (Open(To.HMP), None)]
        message, _ = self._messages.qmp(self._drawn())
        data = message.data[: 1 + int(self._rng.random() * len(message.data))]
        cut = Send(To.QMP, data, Await.NOTHING, command=message.command)
        return [(cut, None), (Close(To.QMP), None), (Open(To.QMP), None), (self._messages.capabilities(), None)]

    def _resumed(self) -> list[Draft]:
        reset = self.runstate in ("shutdown", "guest-panicked", "internal-error", "postmigrate")
        return [self._messages.qmp(Item(name, {})) for name in (("system_reset",) if reset else ()) + ("cont",)]

    # single ops

    def _exchange(self, kind: str, made: list[Draft]) -> Exchange:
        """Return *made* as an exchange, with the state queries behind it if it may have changed something."""
        if kind != "planned" and any(item and not item.hmp and not only_reads(item.command) for _, item in made):
            made = [*made, *self._messages.state_queries()]
        self._items = tuple(item for _, item in made)
        return Exchange(kind, tuple(op for op, _ in made))

    def _steps(self, steps: Sequence[Step]) -> list[list[Draft]]:
        """Return a scenario as exchanges, one a step: an event is waited for behind the command before it."""
        made: list[list[Draft]] = []
        for step in steps:
            if isinstance(step, WaitEvent):
                made[-1].append((step, None))
            else:
                made.append([self._messages.line(step) if step.hmp else self._messages.qmp(step)])
        return made

    def _drawn(self) -> Item:
        name = self._qmp.draw(self._rng)
        arguments: Any = self._grammar.arguments(name, self._rng)
        if self._rng.random() < self._k.settings.wrong:
            arguments = self._grammar.spoiled(arguments, self._rng)
        return Item(name, arguments)

    def _hmp_line(self, rng: Random) -> str:
        line = self._k.hmp.line(self._hmp.draw(rng), rng)
        return self._k.hmp.malformed(line, rng) if rng.random() < self._k.settings.wrong else line

    def _hmp_item(self) -> Item:
        line = self._hmp_line(self._rng)[:200]
        if self._rng.random() < 0.15:
            at = int(self._rng.random() * (len(line) + 1))
            line = line[:at] + pick(self._rng, _KEYS) + line[at:]
        return Item(line, None, hmp=True)

    def _weighted(self, names: Iterable[str], prefix: str) -> Weighted:
        """Return *names* with their weights.

        What got the blame before is drawn less, so that others are met; what was not accepted yet is drawn more.
        """
        suspects, reached, names = self._k.corpus.suspects, self._k.coverage.commands, tuple(names)
        weights = []
        for name in (prefix + name for name in names):
            met = name in reached and reached[name].accepted
            weight = self._k.settings.weight(name) * (1 if met else UNMET)
            weights.append(weight / (1 + suspects[name]))
        return Weighted(names, weights)


_MAKERS = {
    "qmp": Generator._batch, "hmp": Generator._lines, "corpus": Generator._from_corpus,
    "lifecycle": Generator._lifecycle, "hammer": Generator._hammer, "corrupt": Generator._corrupt,
    "pieces": Generator._pieces, "interleaved": Generator._interleaved, "reconnect": Generator._reconnect,
}  # fmt: skip
