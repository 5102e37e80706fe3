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
from qstress.fuzz.known import Known, covering
from qstress.fuzz.ops import lines
from qstress.fuzz.recording import Recording, from_bytes, to_bytes
from qstress.fuzz.script import script, summary_line
from qstress.store.files import replace_file, store_errors, sync_folder, write_file

#: ``refused A or B changed X``: once one made smaller blames A alone, that is one of all that blame A among others.
_REFUSED, _CHANGED = "refused ", " changed "


@dataclass(slots=True)
class Finding:
    """One kind of fault: ``shown`` of ``tried`` replays showed it again, ``commands`` are left after reduction.

    ``tried`` is 0 until it was made smaller. ``aliases`` are the titles that it had before. ``sure`` says how sure the
    reduction is where that is not plain; ``note`` why it does not count.
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


class Findings:
    """All findings of a session, below *folder*; a finding is durable once :meth:`add` has returned."""

    def __init__(self, folder: Path, known: tuple[Known, ...], version: str) -> None:
        self._folder = folder
        self._known = known
        self._version = version
        self.all: list[Finding] = []
        with store_errors(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            for path in sorted(folder.glob("*/finding.json")):
                self.all.append(_read(path))

    def find(self, title: str) -> Finding | None:
        """Return the finding that is or once was called *title*."""
        return next((found for found in self.all if _called(found, title)), None)

    def add(
        self, recording: Recording, finding: Finding, *, trace: Iterable[Mapping[str, Any]], console: bytes, said: str
    ) -> Finding:
        """Write a new finding down; its folder and whether it is known are settled here.

        :raises RigError: the host refuses.
        """
        known = covering(self._known, finding.title, self._version)
        slug = re.sub(r"[^a-z0-9]+", "-", finding.title.lower()).strip("-")[:60]
        made = replace(
            finding, folder=f"{self._next_number():03d}-{slug}", known=known.link if known else "",
            commands=recording.commands, what=summary_line(recording),
        )  # fmt: skip
        path, final = self._folder / ".new", self._folder / made.folder
        with store_errors(final):
            shutil.rmtree(path, ignore_errors=True)  # of a session that was killed
            path.mkdir(mode=0o700)
            write_file(path / "trace.jsonl", lines(trace))
            write_file(path / "repro.jsonl", to_bytes(recording))
            write_file(path / "repro.sh", script(recording).encode(), mode=0o700)
            write_file(path / "console.log", console)
            write_file(path / "stderr.txt", said.encode(errors="backslashreplace"))
            replace_file(path / "finding.json", _content(made))
            path.rename(final)
            sync_folder(self._folder)
        self.all.append(made)
        return made

    def again(self, finding: Finding) -> None:
        """Count one more."""
        finding.count += 1

    def recording(self, finding: Finding) -> Recording:
        """Return what repeats *finding*, as it is on disk.

        :raises ConfigError: it is not there any more.
        """
        path = self._folder / finding.folder / "repro.jsonl"
        try:
            return from_bytes(path.read_bytes(), str(path))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def smaller(self, finding: Finding, recording: Recording) -> None:
        """Write down that *finding* is repeated by *recording*, and what else is new of it.

        Only now may it be seen to be the same as another one: then it is counted there, and its folder goes.

        :raises RigError: the host refuses.
        """
        same = next((other for other in self.all if other is not finding and _called(other, recording.title)), None)
        if same is not None:
            same.count += finding.count
            same.aliases += [title for title in (finding.title, *finding.aliases) if title not in same.aliases]
            self.all.remove(finding)
            self.save()
            shutil.rmtree(self._folder / finding.folder, ignore_errors=True)
            return
        if recording.title != finding.title:
            finding.aliases.append(finding.title)
            finding.title = recording.title
            known = covering(self._known, finding.title, self._version)
            finding.known = known.link if known else ""
        finding.commands, finding.what = recording.commands, summary_line(recording)
        write_smaller(self._folder / finding.folder, recording)
        self.save()

    def save(self) -> None:
        """Write the counts down."""
        with store_errors(self._folder):
            for finding in self.all:
                replace_file(self._folder / finding.folder / "finding.json", _content(finding))

    def document(self) -> list[dict[str, Any]]:
        """Return the findings as JSON-able values, for ``summary.json``."""
        return [asdict(finding) for finding in self.all]

    def _next_number(self) -> int:
        return 1 + max((int(found.folder[:3]) for found in self.all), default=0)

    @property
    def unknown(self) -> list[Finding]:
        """Those that fail the session: neither known nor left without a repeat where one is needed."""
        return [finding for finding in self.all if not finding.known and not finding.note]


def write_smaller(folder: Path, recording: Recording) -> None:
    """Let *recording* take the place of the one in *folder*; the first one is kept as ``repro-full.jsonl``.

    :raises RigError: the host refuses.
    """
    with store_errors(folder):
        full = folder / "repro-full.jsonl"
        if not full.exists():
            replace_file(full, (folder / "repro.jsonl").read_bytes())
        replace_file(folder / "repro.jsonl", to_bytes(recording))
        write_file(folder / "repro.sh", script(recording).encode(), mode=0o700)


def told_smaller(folder: Path, recording: Recording, shown: int, tried: int, sure: str) -> None:
    """Let ``finding.json`` in *folder*, where there is one, tell what :func:`write_smaller` wrote.

    :raises ConfigError: it is no finding.
    :raises RigError: the host refuses.
    """
    path = folder / "finding.json"
    if path.exists():
        made = _read(path)
        made.shown, made.tried, made.sure, made.note = shown, tried, sure, ""
        if recording.title != made.title:
            made.aliases.append(made.title)
            made.title = recording.title
        made.commands, made.what = recording.commands, summary_line(recording)
        with store_errors(folder):
            replace_file(path, _content(made))


def _called(finding: Finding, title: str) -> bool:
    if title == finding.title or title in finding.aliases:
        return True
    names, _, changed = title.removeprefix(_REFUSED).rpartition(_CHANGED)
    fewer, _, same = finding.title.removeprefix(_REFUSED).rpartition(_CHANGED)
    both = title.startswith(_REFUSED) and finding.title.startswith(_REFUSED) and finding.shown > 0
    return both and changed == same and set(fewer.split(" or ")) <= set(names.split(" or "))


def _content(finding: Finding) -> bytes:
    return json.dumps({"format": 1, **asdict(finding)}, indent=1).encode() + b"\n"


def _read(path: Path) -> Finding:
    try:
        made = json.loads(path.read_bytes())
        del made["format"]
        return Finding(**{**made, "because": tuple(made["because"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a finding of a fuzzing session: {error}") from error
