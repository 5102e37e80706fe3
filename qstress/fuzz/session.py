"""Guest after guest is fuzzed until the session's time is up; what is found is written down before the next one starts.

A session is a folder: ``run.json``, ``corpus/corpus.jsonl``, ``findings/``, ``state.json`` (after each guest) and
``summary.json`` (at the end). One that was killed goes on with all of that: the guest that was alive is begun again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from qstress.errors import ConfigError, RigError
from qstress.fuzz import corpus as corpora
from qstress.fuzz.backlog import NOT_YET, SHARE, Backlog, counts_only_repeated
from qstress.fuzz.corpus import Corpus
from qstress.fuzz.coverage import Coverage, Share, share
from qstress.fuzz.findings import Finding, Findings
from qstress.fuzz.generator import Exchange, Generator, Knowledge, Settings
from qstress.fuzz.hmp import Hmp, HmpCommand, parse_help
from qstress.fuzz.judge import Fault, Judge, Kind
from qstress.fuzz.ops import Send, read_lines
from qstress.fuzz.played import Played
from qstress.fuzz.player import Player
from qstress.fuzz.pool import Pool
from qstress.fuzz.protocol import Reader
from qstress.fuzz.recording import Recording, recording_of, trace_line
from qstress.fuzz.reduce import Shrunk
from qstress.fuzz.replay import Bench, ask_schema
from qstress.fuzz.rig import Rig
from qstress.hostlog.findings import HostFinding
from qstress.observe.hostlog import HostLog
from qstress.store.files import replace_file, store_errors

#: How much less often a command is drawn after a fault of this kind, so that a session does not stay at one spot.
_BLAME = {Kind.STALL: 20, Kind.CRASH: 4, Kind.HUNG_UP: 4, Kind.NOTE: 2}
#: Guests that cannot be started in a row, after which the host is to blame.
_STARTS = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """What is fuzzed: QEMU, and for each guest one of ``guests``, whole argument lists without the binary."""

    binary: str
    version: str
    guests: tuple[tuple[str, ...], ...]
    env: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Totals:
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

    :param shrink: makes a new finding's recording smaller (:mod:`qstress.fuzz.reduce`); None: as it is.
    :param say: told one line for each new finding and note.
    """

    def __init__(
        self, subject: Subject, settings: Settings, bench: Bench, findings: Findings, folder: Path, *, seed: int,
        shrink: Callable[[Recording], Shrunk] | None = None, say: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.subject, self.settings, self.bench, self.findings = subject, settings, bench, findings
        self._folder, self._seed, self._say = folder, seed, say
        self._backlog = Backlog(findings, shrink, say, lambda: self.stopping)
        self.totals = Totals()
        self.corpus, self.coverage = Corpus(), Coverage()
        self.stopping = False
        self.host_log: HostLog | None = None
        self.schema, hmp = self._learn()
        pool = Pool()
        self._knowledge = Knowledge(
            self.schema, Hmp(hmp, pool), pool, Reader(self.schema), self.corpus, self.coverage, settings
        )
        self._restore()

    def run(self, *, duration_s: float | None, guests: int | None) -> None:
        """Fuzz until *duration_s* of the session have gone by in all, *guests* were fuzzed, or :attr:`stopping`.

        Findings that were not made smaller by then are made so after that, unless it is :attr:`stopping`.

        :raises RigError: QEMU cannot be started, or the disk is full.
        """
        self.host_log = HostLog(self._complained)
        try:
            self._run(duration_s, guests)
        finally:
            self.host_log.close()

    def _run(self, duration_s: float | None, guests: int | None) -> None:
        before_s, began_s, failed = self.totals.elapsed_s, time.monotonic(), 0

        def over() -> bool:
            self.totals.elapsed_s = before_s + time.monotonic() - began_s
            late = duration_s is not None and self.totals.elapsed_s >= duration_s
            return self.stopping or late or (guests is not None and self.totals.guests >= guests)

        while not over():
            try:
                self._guest(over)
                failed = 0
            except RigError as error:
                failed += 1
                self._note(f"a guest did not start: {error}")
                if failed >= _STARTS or error.reason in ("disk-full", "store"):
                    raise
            self.totals.guests += 1
            self._save()
            self._reduce(lambda: not over() and self.totals.reducing_s < SHARE * self.totals.elapsed_s)
        self._reduce(lambda: not self.stopping)
        self.totals.elapsed_s = before_s + time.monotonic() - began_s
        self._save()

    def document(self) -> dict[str, Any]:
        """Return what ``summary.json`` says of the session."""
        reached = self.reached
        return {
            "guests": self.totals.guests,
            "commands": self.totals.commands,
            "elapsed_s": round(self.totals.elapsed_s, 3),
            "commands_per_s": round(self.totals.commands / self.totals.busy_s, 1) if self.totals.busy_s else 0.0,
            "reducing_s": round(self.totals.reducing_s, 3),
            "notes": self.totals.notes,
            "host_log": self.host_log.document() if self.host_log else None,
            "corpus": len(self.corpus.entries),
            "coverage": {
                "commands": reached.commands, "sent": reached.sent, "accepted": reached.accepted,
                "members": reached.members, "members_exercised": reached.members_exercised,
                "missing": dict(reached.missing), "by_command": self.coverage.document(),
            },
            "findings": self.findings.document(),
        }  # fmt: skip

    @property
    def reached(self) -> Share:
        """How much of the schema was reached."""
        never = [name for name in self.schema.commands if not self.settings.weight(name)]
        return share(self.coverage, self.schema, never)

    def _reduce(self, go_on: Callable[[], bool]) -> None:
        while self._backlog.waiting and go_on():
            began_s = time.monotonic()
            self._backlog.next()
            self.totals.reducing_s += time.monotonic() - began_s

    # one guest

    def _guest(self, over: Callable[[], bool]) -> None:
        number = self.totals.guests
        arguments = Random(f"{self._seed}/{number}/guest").choice(self.subject.guests)
        recording = Recording(
            "", Kind.NOTE, self.subject.binary, self.subject.version, arguments, self.subject.env, steps=()
        )
        with Rig((self.subject.binary, *arguments), self.bench.confinement, env=self.bench.env) as rig:
            began_s = time.monotonic()
            if self.host_log:
                self.host_log.roll.begin(number, rig.qemu_pid, began_s)
            self._fuzz(rig, recording, over)
            self.totals.busy_s += time.monotonic() - began_s
            if self.host_log:
                self.host_log.roll.end(number, time.monotonic())
                self.host_log.read()

    def _fuzz(self, rig: Rig, recording: Recording, over: Callable[[], bool]) -> list[Exchange]:
        """Play on one guest until it has had its share, nothing more can be played, or it is *over*.

        :returns: what was played.
        """
        player = Player(rig, reply_s=self.bench.reply_s)
        generator = Generator(self._knowledge, self._seed, self.totals.guests)
        judge = Judge(self._knowledge.reader, host_bytes=self.bench.host_bytes)
        exchanges: list[Exchange] = []
        trace: list[tuple[Exchange, Played]] = []
        while not over() and (exchange := generator.next()) is not None:
            played = player.play(exchange.ops)
            self.totals.commands += sum(isinstance(op, Send) for op in exchange.ops)
            exchanges.append(exchange)
            trace.append((exchange, played))
            kept = len(self.corpus.entries)
            faults = judge.judge(exchange, played, generator.feed(exchange, played.results))
            self._keep(kept)
            for fault in faults:
                self._found(fault, recording_of(fault, exchanges, recording), trace, rig)
            if played.over:
                break
        return exchanges

    def _found(self, fault: Fault, recording: Recording, trace: Sequence[tuple[Exchange, Played]], rig: Rig) -> None:
        self._blame(fault)
        if fault.kind is Kind.NOTE:
            return self._note(fault.title)
        if (known := self.findings.find(fault.title)) is not None:
            return self.findings.again(known)
        note = NOT_YET if counts_only_repeated(fault.kind) else ""
        made = self.findings.add(
            recording,
            Finding(
                fault.title, fault.kind.value, "", round(self.totals.elapsed_s, 3), self.totals.guests, fault.because,
                note=note,
            ),
            trace=(trace_line(exchange, played) for exchange, played in trace),
            console=bytes(rig.console_text),
            said=rig.said.decode(errors="replace"),
        )  # fmt: skip
        self._say(f"{made.title} [{made.folder}]: found in guest {made.guest}, after {made.commands} command(s)")

    def _blame(self, fault: Fault) -> None:
        words = fault.suspect.split(" ")
        name = fault.suspect if words[0] == "hmp" else words[0]
        if amount := _BLAME.get(fault.kind, 0):
            self.corpus.suspects[name] = self.corpus.suspects.get(name, 0) + amount
            self._knowledge.pool.avoided.update(words[1:2] if words[0] != "hmp" else ())

    def _complained(self, finding: HostFinding) -> None:
        guests = ", ".join(map(str, finding.blame.trials)) or "none"
        self._note(f"host kernel: {finding.first.title} ({finding.blame.confidence}, guest {guests})")

    def _note(self, text: str) -> None:
        if text not in self.totals.notes:
            self._say(f"note: {text}")
        self.totals.notes[text] = self.totals.notes.get(text, 0) + 1

    # what is known from the start, and what is kept

    def _learn(self) -> tuple[Any, list[HmpCommand]]:
        """Ask a guest for its schema and its help."""
        with Rig((self.subject.binary, *self.subject.guests[0]), self.bench.confinement, env=self.bench.env) as rig:
            schema, commands = ask_schema(rig), []
            for line in ("help", "help info"):
                text = rig.ask("human-monitor-command", {"command-line": line}, timeout_s=30.0)
                commands += parse_help(text if isinstance(text, str) else "")
        return schema, [command for command in commands if command.name != "info"]

    def _keep(self, since: int) -> None:
        """Append what the corpus has gained to its file."""
        gained = self.corpus.entries[since:]
        if gained:
            with store_errors(self._corpus_path), self._corpus_path.open("ab") as file:
                file.write(b"".join(json.dumps(corpora.to_json(entry)).encode() + b"\n" for entry in gained))

    def _save(self) -> None:
        state = {
            "format": 1, "guests": self.totals.guests, "commands": self.totals.commands,
            "elapsed_s": self.totals.elapsed_s, "busy_s": self.totals.busy_s, "reducing_s": self.totals.reducing_s,
            "notes": self.totals.notes, "suspects": self.corpus.suspects, "probed": self.corpus.probed,
            "coverage": self.coverage.document(),
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
            data = self._corpus_path.read_bytes()
            state_path = self._folder / "state.json"
            state = state_path.read_bytes() if state_path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]  # the last line may have been cut by what killed us
        for made in read_lines(whole, str(self._corpus_path)):
            entry = corpora.from_json(made)
            self.corpus.add(entry)
            self.coverage.keys.add(entry.key)
        if state:
            try:
                self._take_over(json.loads(state))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError(f"{state_path}: not the state of a fuzzing session: {error!r}") from error

    def _take_over(self, state: Mapping[str, Any]) -> None:
        self.totals = Totals(
            state["guests"], state["commands"], state["elapsed_s"], state["busy_s"], state["reducing_s"],
            dict(state["notes"]),
        )  # fmt: skip
        self.corpus.suspects.update(state["suspects"])
        self.corpus.probed.update(state["probed"])
        self.coverage.restore(state["coverage"])

    @property
    def _corpus_path(self) -> Path:
        return self._folder / "corpus" / "corpus.jsonl"
