"""Guest after guest is fuzzed until the session's time is up; what is found is written down before the next one starts.

A session is a folder: ``run.json``, ``corpus/corpus.jsonl``, ``findings/``, ``state.json`` (after each guest) and
``summary.json`` (at the end). One that was killed goes on with all of that: the guest that was alive is begun again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any

from qstress.errors import ConfigError, RigError
from qstress.fuzz.corpus import Corpus, entry_from_json, entry_to_json
from qstress.fuzz.coverage import Coverage, SchemaCoverage, schema_coverage
from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.executor import Executor
from qstress.fuzz.findings import NOT_YET, Findings, FuzzFinding
from qstress.fuzz.fuzzed_guest import FuzzedGuest, GuestSetup
from qstress.fuzz.generator import Generator, GeneratorSettings, Knowledge
from qstress.fuzz.hmp import Hmp, parse_help
from qstress.fuzz.judge import Judge, oracle_of
from qstress.fuzz.ops import json_lines, read_json_lines
from qstress.fuzz.oracles.oracle import Fault
from qstress.fuzz.pool import Pool
from qstress.fuzz.protocol import Reader
from qstress.fuzz.recording import Recording, trace_line
from qstress.fuzz.reduce import Reduced
from qstress.fuzz.replay import ask_schema
from qstress.hostlog.findings import HostFinding
from qstress.observe.hostlog import HostLog
from qstress.observe.stacks import live_stacks
from qstress.observe.usage import memory_bytes
from qstress.store.files import replace_file, store_errors

#: The share of a session's time that making findings smaller may take while it lasts: nothing new is found by it. What
#: is left over is done at the end.
REDUCING_SHARE = 0.4
#: How much less often the suspect of a note is drawn.
NOTE_BLAME = 2
#: Guests that cannot be started in a row, after which the host is to blame.
_STARTS = 5

#: What was executed on a guest, and what came of it.
Trace = list[tuple[Exchange, ExchangeOutcome]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed: QEMU, and for each guest one of ``guests``, whole argument lists without the binary."""

    binary: str
    version: str
    guests: tuple[tuple[str, ...], ...]
    env: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class SessionTotals:
    """What a session has done so far. ``busy_s`` is the time in which guests were fuzzed: without
    their start and end, and without reduction."""

    guests: int = 0
    commands: int = 0
    elapsed_s: float = 0.0
    busy_s: float = 0.0
    reducing_s: float = 0.0
    notes: dict[str, int] = field(default_factory=dict)


class Session:
    """One fuzzing session in *folder*, which exists.

    :param reduce: makes a new finding's recording smaller (:mod:`qstress.fuzz.reduce`); None: as it is.
    :param stacks: shows a finding once more and returns what QEMU's threads were doing.
    :param say: told one line for each new finding and note.
    :raises ConfigError: what an earlier process of this session left cannot be read.
    :raises RigError: QEMU cannot be started.
    """

    def __init__(
        self, target: Target, settings: GeneratorSettings, setup: GuestSetup, findings: Findings, folder: Path, *,
        seed: int, reduce: Callable[[Recording], Reduced] | None = None,
        stacks: Callable[[Recording], str] | None = None, say: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.target, self.setup, self.findings = target, setup, findings
        self._folder, self._seed, self._say = folder, seed, say
        self._corpus_path = folder / "corpus" / "corpus.jsonl"
        self._reduce_recording, self._stacks_of = reduce, stacks
        self.totals = SessionTotals()
        self.stopping = False
        self.host_log: HostLog | None = None
        self.knowledge = self._learn(settings)
        self._restore()

    def run(self, *, duration_s: float | None, guests: int | None) -> None:
        """Fuzz until *duration_s* of the session have gone by in all, *guests* were fuzzed, or :attr:`stopping`.

        Findings that were not made smaller by then are made so after that, unless it is :attr:`stopping`.

        :raises RigError: QEMU cannot be started, or the disk is full.
        """
        self.host_log = HostLog(self._complained)
        with closing(self.host_log):
            self._run(duration_s, guests)

    def _run(self, duration_s: float | None, guests: int | None) -> None:
        before_s, began_s, failed = self.totals.elapsed_s, time.monotonic(), 0

        def over() -> bool:
            self.totals.elapsed_s = before_s + time.monotonic() - began_s
            late = duration_s is not None and self.totals.elapsed_s >= duration_s
            return self.stopping or late or (guests is not None and self.totals.guests >= guests)

        while not over():
            try:
                self._next_guest(over)
                failed = 0
            except RigError as error:
                failed += 1
                self._note(f"a guest did not start: {error}")
                if failed >= _STARTS or error.reason in ("disk-full", "store"):
                    raise
            self.totals.guests += 1
            self._save()
            self._reduce(lambda: not over() and self.totals.reducing_s < REDUCING_SHARE * self.totals.elapsed_s)
        self._reduce(lambda: not self.stopping)
        self.totals.elapsed_s = before_s + time.monotonic() - began_s
        self._save()

    def document(self) -> dict[str, Any]:
        """Return what ``summary.json`` says of the session."""
        totals = self.totals
        return {
            "guests": totals.guests, "commands": totals.commands, "elapsed_s": round(totals.elapsed_s, 3),
            "commands_per_s": round(totals.commands / totals.busy_s, 1) if totals.busy_s else 0.0,
            "reducing_s": round(totals.reducing_s, 3), "notes": totals.notes,
            "host_log": self.host_log.document() if self.host_log else None,
            "corpus": len(self.knowledge.corpus.entries),
            "coverage": {**asdict(self.reached), "by_command": self.knowledge.coverage.document()},
            "findings": self.findings.document(),
        }  # fmt: skip

    @property
    def reached(self) -> SchemaCoverage:
        """How much of the schema was reached."""
        known = self.knowledge
        never = [name for name in known.schema.commands if not known.settings.weight(name)]
        return schema_coverage(known.coverage, known.schema, never)

    def _reduce(self, go_on: Callable[[], bool]) -> None:
        """Make findings smaller, oldest first; what is left waits, and one that is cut short goes on waiting."""
        while self._reduce_recording and (waiting := self.findings.waiting) and go_on():
            finding, began_s = waiting[0], time.monotonic()
            reduced = self._reduce_recording(self.findings.recording(finding))
            if not self.stopping:
                self.findings.take(finding, reduced)
                self._keep_stacks(finding)
                self._say(f"{finding.title} [{finding.folder}]: {_told(finding, reduced)}")
            self.totals.reducing_s += time.monotonic() - began_s

    def _keep_stacks(self, finding: FuzzFinding) -> None:
        """Have a finding that replays show, and that is no other one, shown once more and looked at."""
        wanted = finding.shown and finding in self.findings.all
        if wanted and self._stacks_of and (stacks := self._stacks_of(self.findings.recording(finding))):
            self.findings.keep_stacks(finding, stacks)

    # one guest

    def _next_guest(self, over: Callable[[], bool]) -> None:
        number = self.totals.guests
        arguments = Random(f"{self._seed}/{number}/guest").choice(self.target.guests)
        with self.setup.guest(self.target.binary, arguments) as guest:
            began_s = time.monotonic()
            if self.host_log:
                self.host_log.live_trials.begin(number, guest.qemu_pid, began_s)
            self._fuzz(guest, arguments, over)
            self.totals.busy_s += time.monotonic() - began_s
            if self.host_log:
                self.host_log.live_trials.end(number, time.monotonic())
                self.host_log.read()

    def _fuzz(self, guest: FuzzedGuest, arguments: tuple[str, ...], over: Callable[[], bool]) -> Trace:
        """Fuzz one guest until it has had its share, nothing more can be executed, or it is *over*."""
        executor = Executor(guest, reply_s=self.setup.reply_s)
        generator = Generator(self.knowledge, self._seed, self.totals.guests)
        judge = Judge(self.knowledge.reader, host_bytes=memory_bytes())
        trace: Trace = []
        while not over() and (exchange := generator.next()) is not None:
            outcome = executor.execute(exchange.ops)
            self.totals.commands += len(exchange.sends)
            trace.append((exchange, outcome))
            kept = len(self.knowledge.corpus.entries)
            faults = judge.judge(exchange, outcome, generator.feed(exchange, outcome.results))
            self._keep(kept)
            for fault in faults:
                self._found(fault, arguments, trace, guest)
            if outcome.over:
                break
        return trace

    def _found(self, fault: Fault, arguments: tuple[str, ...], trace: Trace, guest: FuzzedGuest) -> None:
        self._blame(fault)
        if fault.is_note:
            return self._note(fault.title)
        if (known := self.findings.find(fault.title)) is not None:
            known.count += 1
            return None
        target, number = self.target, self.totals.guests
        steps = tuple(exchange for exchange, _ in trace)
        made = self.findings.add(
            Recording(
                fault.title, fault.kind, target.binary, target.version, arguments, target.env, steps, fault.telling
            ),
            FuzzFinding(
                fault.title, fault.kind, "", round(self.totals.elapsed_s, 3), number, fault.because,
                note=NOT_YET if oracle_of(fault.kind).must_repeat else "",
            ),
            trace=(trace_line(exchange, outcome) for exchange, outcome in trace),
            console=guest.console_text,
            said=guest.said,
            stacks=live_stacks(guest.qemu_pid) if oracle_of(fault.kind).stacks_at == "silence" else "",
        )  # fmt: skip
        self._say(f"{made.title} [{made.folder}]: found in guest {number}, after {made.commands} command(s)")

    def _blame(self, fault: Fault) -> None:
        words, suspects = fault.suspect.split(" "), self.knowledge.corpus.suspects
        name = fault.suspect if words[0] == "hmp" else words[0]
        if amount := NOTE_BLAME if fault.is_note else oracle_of(fault.kind).blame:
            suspects[name] += amount
            self.knowledge.pool.avoided.update(words[1:2] if words[0] != "hmp" else ())

    def _complained(self, finding: HostFinding) -> None:
        guests = ", ".join(map(str, finding.blame.trials)) or "none"
        self._note(f"host kernel: {finding.first.title} ({finding.blame.confidence}, guest {guests})")

    def _note(self, text: str) -> None:
        if text not in self.totals.notes:
            self._say(f"note: {text}")
        self.totals.notes[text] = self.totals.notes.get(text, 0) + 1

    # what is known from the start, and what is kept

    def _learn(self, settings: GeneratorSettings) -> Knowledge:
        """Ask a guest for its schema and its help."""
        with self.setup.guest(self.target.binary, self.target.guests[0]) as guest:
            schema, commands = ask_schema(guest), []
            for line in ("help", "help info"):
                text = guest.ask("human-monitor-command", {"command-line": line}, timeout_s=30.0)
                commands += parse_help(text if isinstance(text, str) else "")
        pool = Pool()
        hmp = Hmp([command for command in commands if command.name != "info"], pool)
        return Knowledge(schema, hmp, pool, Reader(schema), Corpus(), Coverage(), settings)

    def _keep(self, since: int) -> None:
        """Append what the corpus has gained to its file."""
        gained = self.knowledge.corpus.entries[since:]
        if gained:
            with store_errors(self._corpus_path), self._corpus_path.open("ab") as file:
                file.write(json_lines(map(entry_to_json, gained)))

    def _save(self) -> None:
        corpus = self.knowledge.corpus
        state = {
            "format": 1, **asdict(self.totals), "suspects": corpus.suspects, "probed": corpus.probed,
            "coverage": self.knowledge.coverage.document(),
        }  # fmt: skip
        with store_errors(self._folder):
            replace_file(self._folder / "state.json", json.dumps(state).encode())
        self.findings.save()

    def _restore(self) -> None:
        """Take over what an earlier process of this session left.

        :raises ConfigError: a file of it cannot be read.
        """
        with store_errors(self._folder):
            self._corpus_path.parent.mkdir(mode=0o700, exist_ok=True)
            self._corpus_path.touch(mode=0o600)
            entries = self._corpus_path.read_bytes()
            state_path = self._folder / "state.json"
            data = state_path.read_bytes() if state_path.exists() else b""
        whole = entries[: entries.rfind(b"\n") + 1]  # the last line may have been cut by what killed us
        for made in read_json_lines(whole, str(self._corpus_path)):
            entry = entry_from_json(made)
            self.knowledge.corpus.entries.append(entry)
            self.knowledge.coverage.keys.add(entry.key)
        if not data:
            return
        try:
            state = json.loads(data)
            self.totals = SessionTotals(**{each.name: state[each.name] for each in fields(SessionTotals)})
            self.knowledge.corpus.suspects.update(state["suspects"])
            self.knowledge.corpus.probed.update(state["probed"])
            self.knowledge.coverage.restore(state["coverage"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{state_path}: not the state of a fuzzing session: {error!r}") from error


def _told(finding: FuzzFinding, reduced: Reduced) -> str:
    if not reduced.shown:
        return f"{reduced.note}, {finding.repeats}"
    return f"shown again {finding.repeats}, {finding.commands} command(s): {finding.what[:200]}"
