"""A run, recorded so that whatever kills us, what was found stays found, and counts once.

A finding's evidence folder is made under a hidden name, synced and renamed, then its verdict is committed, and
only then does :meth:`RunStore.record` return. Trials enter ``trials.db`` with their whole block in one commit, and
a finding counts because that commit marks it. So a block that was cut short leaves findings that do not count, and
``--resume``, which runs it again, neither loses nor doubles one (``schema.sql``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from qstress.errors import ConfigError, RigError
from qstress.model import Evidence, FindingClass, TrialResult
from qstress.store import database
from qstress.store.evidence import kept_bytes, read_finding, write_evidence
from qstress.store.files import json_bytes, replace_file, run_folder_name, store_errors, sync_folder
from qstress.store.ledger import Ledger
from qstress.store.read import FORMAT, open_run


def call_qstress(_result: TrialResult, _evidence: Evidence) -> str:
    """Return a ``repro.sh`` that leaves the work to ``qstress repro``."""
    return '#!/bin/sh\nexec qstress repro "$(dirname "$0")" "$@"\n'


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """What the evidence folder of a finding holds beside the evidence, and how many folders a run keeps.

    ``repro_script`` makes ``repro.sh``, ``texts`` further files for people by their names. Of each cell and signature
    ``max_per_signature`` folders are kept, and none once all of them hold ``max_bytes`` (None: no number does): a
    further finding is a row alone.
    """

    repro_script: Callable[[TrialResult, Evidence], str] = call_qstress
    texts: Callable[[TrialResult, Evidence], Mapping[str, str]] = lambda _result, _evidence: {}
    max_per_signature: int = 5
    max_bytes: int | None = None


#: Of a run that asks for nothing else.
USUAL_RULES = EvidenceRules()


class RunStore:
    """One run being written, by this process only; a context manager. Its methods may be called from any thread.

    Whatever the host refuses (disk full, folder gone, …) is a :class:`RigError` with reason ``disk-full`` or
    ``store``; what was committed before stays readable.
    """

    def __init__(self, path: Path, ledger: Ledger, lock_fd: int, rules: EvidenceRules) -> None:
        """Wrap an open run; use :meth:`create` or :meth:`reopen`."""
        self.path = path
        self.run_id = path.name
        self._rules = rules
        self._kept_bytes = kept_bytes(path / "evidence")
        self._ledger = ledger
        self._lock_fd = lock_fd
        self._lock = threading.RLock()
        self._kinds = ledger.evidence_kinds()
        self._next = ledger.next_block()
        # the open blocks' results by trial number, each with its verdict's id where that is committed
        self._open: defaultdict[int, dict[int, tuple[TrialResult, int | None]]] = defaultdict(dict)

    @classmethod
    def create(
        cls, runs_dir: Path, name: str, run: Mapping[str, object], *, now: datetime, token: str,
        rules: EvidenceRules = USUAL_RULES,
    ) -> Self:  # fmt: skip
        """Make the folder ``<UTC time>-<name>-<token>`` of a new run in *runs_dir*; begin its first session.

        :param run: what ``run.json`` holds besides ``format``, ``run``, ``name`` and ``started``.
        :param now: when the run began, with its time zone.
        :param token: a few random letters that make the folder's name unique.
        :raises RigError: the host refuses; no folder is left.
        """
        utc = now.astimezone(UTC)
        run_id = run_folder_name(name, started=utc, token=token)
        head = {"format": FORMAT, "run": run_id, "name": name, "started": utc.isoformat(timespec="seconds")}
        content = json_bytes({**head, **run, **head})
        path = runs_dir.absolute() / run_id
        with store_errors(path), ExitStack() as undo:
            runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
            undo.callback(shutil.rmtree, path, ignore_errors=True)
            (path / "evidence").mkdir(mode=0o700)
            undo.callback(os.close, lock_fd := _lock(path))
            undo.callback((db := database.create(path)).close)
            store = cls(path, Ledger(db, path, now=now), lock_fd, rules)
            replace_file(path / "run.json", content)  # last: without it the folder is not a run
            sync_folder(path.parent)
            undo.pop_all()
        return store

    @classmethod
    def reopen(cls, path: Path, *, now: datetime | None = None, rules: EvidenceRules = USUAL_RULES) -> Self:
        """Begin another session on the run in folder *path*, after clearing up what a killed one left.

        A finding whose folder was complete but not yet in the database is taken in, uncounted.

        :raises ConfigError: it is not a run, or another process is writing it.
        :raises RigError: the host refuses.
        """
        path = path.resolve()
        open_run(path).close()
        with store_errors(path), ExitStack() as undo:
            undo.callback(os.close, lock_fd := _lock(path))
            undo.callback((db := database.open_for_writing(path)).close)
            store = cls(path, Ledger(db, path, now=now or datetime.now(UTC)), lock_fd, rules)
            store._clear_up()
            undo.pop_all()
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def record(self, result: TrialResult, evidence: Evidence | None) -> str | None:
        """Take in a trial's result; a finding is on disk before this returns, others wait for their block.

        :returns: the finding's evidence folder, relative to the run; None if none was made.
        :raises RigError: the host refuses; no trace of this finding is left then.
        """
        trial, verdict = result.trial, result.verdict
        with self._lock:
            if not verdict.outcome.finding:
                self._open[trial.block][trial.number] = (result, None)
                return None
            kind = (trial.cell_index, verdict.finding_class, verdict.signature)
            folder = None
            if evidence is not None and self.wants_evidence(result):
                folder = self._keep(result, evidence)
            try:
                with self._ledger.commit():
                    verdict_id = self._ledger.add_verdict(trial, verdict, result.rig_reason, folder, host=result.host)
            except RigError:
                if folder is not None:
                    shutil.rmtree(self.path / folder, ignore_errors=True)
                raise
            self._kinds[kind] += folder is not None
            self._open[trial.block][trial.number] = (result, verdict_id)
            return folder

    def wants_evidence(self, result: TrialResult) -> bool:
        """Whether the evidence of a finding would be kept: of each cell and signature only the first few are, and all
        together only until the budget is used up."""
        verdict = result.verdict
        kept = self.kept_of(result.trial.cell_index).get((verdict.finding_class, verdict.signature), 0)
        return kept < self.evidence_limit

    @property
    def evidence_limit(self) -> int:
        """Of how many findings of a cell and signature evidence is kept, at most; 0 once the budget is used up."""
        most = self._rules.max_bytes
        full = most is not None and self._kept_bytes >= most  # the finding that filled it was still kept whole
        return 0 if full else self._rules.max_per_signature

    def kept_of(self, cell_index: int) -> dict[tuple[FindingClass | None, str], int]:
        """Return how many folders of evidence this run has of a cell, by class and signature."""
        return {
            (FindingClass(kind) if kind else None, mark): kept
            for (cell, kind, mark), kept in self._kinds.items()
            if cell == cell_index
        }

    def finish_block(self, block: int) -> None:
        """Write the trials of *block* in one commit: with it they count.

        :raises ValueError: none of its trials was recorded in this session, or it is not the next block.
        :raises RigError: the host refuses; the block stays unfinished and can be finished again.
        """
        with self._lock:
            if block != self._next:
                raise ValueError(f"block {block} cannot be finished: the next one is {self._next}")
            done = self._open.get(block)
            if not done:
                raise ValueError(f"no trial of block {block} was recorded")
            with self._ledger.commit():
                self._ledger.add_block(block, [done[number] for number in sorted(done)])
            del self._open[block]
            self._next += 1

    def keep_sums(self, blocks: int, code: str, content: bytes) -> None:
        """Keep what the first *blocks* blocks add up to, so that a reader need not add them again.

        :param code: which code added them up; no other will use them.
        :raises RigError: the host refuses; earlier sums stay.
        """
        with self._lock, self._ledger.commit():
            self._ledger.keep_sums(blocks, code, content)

    def write_report(self, name: str, content: str) -> None:
        """Put the file *name* into the run's folder in one step.

        :raises RigError: the host refuses; an earlier file of that name stays.
        """
        with store_errors(self.path / name):
            replace_file(self.path / name, content.encode())

    def write_run(self, run: Mapping[str, object]) -> None:
        """Put ``run.json`` in place again in one step, its head as it was.

        :raises RigError: the host refuses; the earlier one stays.
        """
        with store_errors(self.path / "run.json"):
            replace_file(self.path / "run.json", json_bytes(run))

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Put ``summary.json`` in place in one step; its ``reason`` becomes the session's.

        :raises RigError: the host refuses; an earlier summary stays.
        """
        with self._lock:
            with store_errors(self.path / "summary.json"):
                replace_file(self.path / "summary.json", json_bytes(summary))
            with self._ledger.commit():
                self._ledger.set_reason(str(summary.get("reason")))

    def close(self) -> None:
        """End the session and let others write the run; results of open blocks are dropped. Never raises."""
        with self._lock:
            self._ledger.close()
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1

    def _keep(self, result: TrialResult, evidence: Evidence) -> str:
        """Make the evidence folder, complete and durable under its name or not at all; return that name."""
        script = self._rules.repro_script(result, evidence)
        root, name, attempt = self.path / "evidence", str(result.trial.number), 1
        while (root / name).exists():  # of an earlier attempt at this trial
            attempt += 1
            name = f"{result.trial.number}-{attempt}"
        half = root / f".{name}.half"
        with store_errors(root):
            try:
                texts = self._rules.texts(result, evidence)
                size = write_evidence(half, result, evidence, run_id=self.run_id, repro_script=script, texts=texts)
                os.rename(half, root / name)
                sync_folder(root)
            except BaseException:
                shutil.rmtree(half, ignore_errors=True)
                shutil.rmtree(root / name, ignore_errors=True)
                raise
        self._kept_bytes += size
        return f"evidence/{name}"

    def _clear_up(self) -> None:
        """Remove half-made evidence and take in evidence whose verdict was not committed."""
        known = self._ledger.evidence_folders()
        for folder in sorted((self.path / "evidence").iterdir()):
            name = f"evidence/{folder.name}"
            if folder.name.endswith(".half"):
                shutil.rmtree(folder, ignore_errors=True)
            elif name not in known:
                with suppress(ConfigError), self._ledger.commit():
                    trial, verdict, host = read_finding(folder)
                    self._ledger.add_verdict(trial, verdict, "", name, host=host)
                    self._kinds[(trial.cell_index, verdict.finding_class, verdict.signature)] += 1


def _lock(path: Path) -> int:
    """Lock folder *path* for as long as this process lives and return the descriptor that holds the lock.

    :raises ConfigError: another process holds it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise ConfigError(f"{path}: another qstress is writing this run") from error
        raise
    return fd
