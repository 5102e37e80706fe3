"""The findings of a session: named, counted, written down at once, each with what repeats it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from qstress.errors import ConfigError
from qstress.fuzz.finding_bug import finding_bug
from qstress.fuzz.judge import oracle_of
from qstress.fuzz.known import KnownFinding, covering
from qstress.fuzz.ops import json_lines
from qstress.fuzz.recording import Recording, from_bytes, to_bytes
from qstress.fuzz.reduce import Reduced
from qstress.fuzz.script import repro_sh, summary_line
from qstress.store.evidence import STACKS_FILE
from qstress.store.files import replace_file, store_errors, sync_folder, write_file

NOT_YET = "not counted: no replay has shown it yet"
NEVER = "not counted: most replays did not show it again"
#: A finding as a report that QEMU's maintainers take.
BUG_FILE = "bug.md"


@dataclass(slots=True)
class FuzzFinding:
    """One kind of fault: ``shown`` of ``tried`` replays showed it again, ``commands`` are left after reduction.

    ``tried`` is 0 until it was made smaller. ``aliases`` are the titles that it had before. ``sure`` says how sure the
    reduction is where that is not plain; ``note`` why it does not count. All of these are the members of
    ``finding.json``, which is why there are fifteen.
    """

    title: str
    kind: str
    folder: str
    first_s: float
    guest: int
    because: tuple[str, ...]
    count: int = 1
    shown: int = 0
    tried: int = 0
    commands: int = 0
    what: str = ""
    known: str = ""
    note: str = ""
    sure: str = ""
    aliases: list[str] = field(default_factory=list)

    @property
    def repeats(self) -> str:
        """How often it showed again, as ``k/n``."""
        return f"{self.shown}/{self.tried}" if self.tried else "not tried"

    def take(self, recording: Recording) -> None:
        """Be repeated by *recording*: a title that it does not bear any more stays an alias."""
        if recording.title != self.title:
            self.aliases.append(self.title)
        self.title, self.commands, self.what = recording.title, recording.commands, summary_line(recording)


class Findings:
    """All findings of a session, below *folder*; a finding is durable once :meth:`add` has returned.

    :param known: those that do not fail a session on a QEMU of *version*.
    :raises ConfigError: a folder of it holds no finding.
    :raises RigError: the host refuses.
    """

    def __init__(self, folder: Path, known: tuple[KnownFinding, ...], version: str) -> None:
        self._folder, self._known, self._version = folder, known, version
        with store_errors(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            self.all = [_read(path) for path in sorted(folder.glob("*/finding.json"))]

    def find(self, title: str) -> FuzzFinding | None:
        """Return the finding that is or once was called *title*."""
        return next((found for found in self.all if _called(found, title)), None)

    def add(
        self, recording: Recording, found: FuzzFinding, *, trace: Iterable[Mapping[str, Any]], console: bytes,
        said: str, stacks: str = "",
    ) -> FuzzFinding:  # fmt: skip
        """Write a new finding down; its folder and whether it is known are settled here.

        :param stacks: of QEMU's threads, where it still lives.
        :raises RigError: the host refuses.
        """
        slug = re.sub(r"[^a-z0-9]+", "-", found.title.lower()).strip("-")[:60]
        number = 1 + max((int(other.folder[:3]) for other in self.all), default=0)
        made = replace(
            found, folder=f"{number:03d}-{slug}", known=self._known_as(found.title),
            commands=recording.commands, what=summary_line(recording),
        )  # fmt: skip
        path, final = self._folder / ".new", self._folder / made.folder
        with store_errors(final):
            shutil.rmtree(path, ignore_errors=True)  # of a session that was killed
            path.mkdir(mode=0o700)
            write_file(path / "trace.jsonl", json_lines(trace))
            write_file(path / "repro.jsonl", to_bytes(recording))
            write_file(path / "repro.sh", repro_sh(recording).encode(), mode=0o700)
            write_file(path / "console.log", console)
            write_file(path / "stderr.txt", said.encode(errors="backslashreplace"))
            if stacks:
                write_file(path / STACKS_FILE, stacks.encode())
            replace_file(path / "finding.json", _content(made))
            path.rename(final)
            write_bug(final)
            sync_folder(self._folder)
        self.all.append(made)
        return made

    def recording(self, finding: FuzzFinding) -> Recording:
        """Return what repeats *finding*, as it is on disk.

        :raises ConfigError: it is not there any more.
        """
        return load_recording(self._folder / finding.folder / "repro.jsonl")

    def take(self, finding: FuzzFinding, reduced: Reduced) -> None:
        """Write down what came of making *finding* smaller.

        Only now may it be seen to be the same as another one: then it is counted there, and its folder goes.

        :raises RigError: the host refuses.
        """
        finding.shown, finding.tried, finding.sure = reduced.shown, reduced.tried, reduced.note
        doubtful = oracle_of(finding.kind).must_repeat and 2 * reduced.shown <= reduced.tried
        finding.note = NEVER if doubtful else ""
        if not reduced.shown:
            return self.save()
        finding.because = reduced.because
        title = reduced.recording.title
        same = next((other for other in self.all if other is not finding and _called(other, title)), None)
        if same is not None:
            same.count += finding.count
            same.aliases += [title for title in (finding.title, *finding.aliases) if title not in same.aliases]
            self.all.remove(finding)
            self.save()
            return shutil.rmtree(self._folder / finding.folder, ignore_errors=True)
        finding.known = self._known_as(title)
        finding.take(reduced.recording)
        write_reduced(self._folder / finding.folder, reduced.recording)
        return self.save()

    def keep_stacks(self, finding: FuzzFinding, stacks: str) -> None:
        """Keep the stacks that QEMU's threads had when a replay of *finding* showed it.

        :raises RigError: the host refuses.
        """
        folder = self._folder / finding.folder
        with store_errors(folder):
            replace_file(folder / STACKS_FILE, stacks.encode())
            write_bug(folder)

    def save(self) -> None:
        """Write the counts down.

        :raises RigError: the host refuses.
        """
        with store_errors(self._folder):
            for finding in self.all:
                folder = self._folder / finding.folder
                if (folder / "finding.json").read_bytes() != (content := _content(finding)):
                    replace_file(folder / "finding.json", content)
                    write_bug(folder)

    def document(self) -> list[dict[str, Any]]:
        """Return the findings as JSON-able values, for ``summary.json``."""
        return [asdict(finding) for finding in self.all]

    def _known_as(self, title: str) -> str:
        known = covering(self._known, title, self._version)
        return known.link if known else ""

    @property
    def waiting(self) -> list[FuzzFinding]:
        """Those that were not made smaller yet, oldest first: each is on disk already as it was found."""
        return [finding for finding in self.all if not finding.tried]

    @property
    def unknown(self) -> list[FuzzFinding]:
        """Those that fail the session: neither known nor left without a repeat where one is needed."""
        return [finding for finding in self.all if not finding.known and not finding.note]


def load_recording(path: Path) -> Recording:
    """Return the recording at *path*.

    :raises ConfigError: there is none, or no oracle knows its kind.
    """
    try:
        recording = from_bytes(path.read_bytes(), str(path))
        oracle_of(recording.kind)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return recording


def write_bug(folder: Path) -> None:
    """Write the ``bug.md`` of the finding in *folder*, from all that is there and the session's ``run.json``.

    :raises ConfigError: it is no finding.
    :raises OSError: the host refuses.
    """
    run_path, stacks_path = folder.parent.parent / "run.json", folder / STACKS_FILE
    run = json.loads(run_path.read_bytes()) if run_path.exists() else {}
    text = finding_bug(
        load_recording(folder / "repro.jsonl"), asdict(_read(folder / "finding.json")),
        script=(folder / "repro.sh").read_text(), run=run,
        stacks=stacks_path.read_text(errors="replace") if stacks_path.exists() else "",
    )  # fmt: skip
    replace_file(folder / BUG_FILE, text.encode())


def write_reduced(folder: Path, recording: Recording) -> None:
    """Let *recording* take the place of the one in *folder*; the first one is kept as ``repro-full.jsonl``.

    :raises RigError: the host refuses.
    """
    with store_errors(folder):
        full = folder / "repro-full.jsonl"
        if not full.exists():
            replace_file(full, (folder / "repro.jsonl").read_bytes())
        replace_file(folder / "repro.jsonl", to_bytes(recording))
        write_file(folder / "repro.sh", repro_sh(recording).encode(), mode=0o700)


def write_reduced_finding(folder: Path, reduced: Reduced) -> None:
    """As :func:`write_reduced`, and let ``finding.json`` in *folder*, where there is one, say so.

    :raises ConfigError: it is no finding.
    :raises RigError: the host refuses.
    """
    write_reduced(folder, reduced.recording)
    path = folder / "finding.json"
    if path.exists():
        made = _read(path)
        made.shown, made.tried, made.sure, made.note = reduced.shown, reduced.tried, reduced.note, ""
        made.take(reduced.recording)
        with store_errors(folder):
            replace_file(path, _content(made))
            write_bug(folder)


def _called(finding: FuzzFinding, title: str) -> bool:
    if title == finding.title or title in finding.aliases:
        return True
    return finding.shown > 0 and oracle_of(finding.kind).blames_among_others(finding.title, title)


def _content(finding: FuzzFinding) -> bytes:
    return json.dumps({"format": 1, **asdict(finding)}, indent=1).encode() + b"\n"


def _read(path: Path) -> FuzzFinding:
    try:
        made = json.loads(path.read_bytes())
        del made["format"]
        oracle_of(made["kind"])
        return FuzzFinding(**{**made, "because": tuple(made["because"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a finding of a fuzzing session: {error}") from error
