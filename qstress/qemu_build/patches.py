"""Which patches a file holds, and their way into a source tree.

A file is one mail (``git format-patch``, or a message saved from a mail client), an mbox with several, a mail's web
page, or a bare diff. What it means is never guessed: two versions, or two different diffs in one message, are refused.
The diff itself is left to ``git apply``, which takes no fuzz: a hunk that almost fits may land in another function, and
then nobody knows what was measured.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from qstress.config.tree import display
from qstress.errors import ConfigError
from qstress.qemu_build.mails import PatchMail, git, mails_in
from qstress.qemu_build.webtext import readable

_TAGS = re.compile(r"((?:\s*\[[^\]]*\])*)[\s:]*(.*)", re.DOTALL)
_NUMBER = re.compile(r"\b(\d+)/(\d+)\b")
_VERSION = re.compile(r"(?:\b|PATCH)v(\d+)\b", re.IGNORECASE)
_REPLY = re.compile(r"(?:re|aw|antw|antwort|sv|vs|r|回复|答复)\s*(?:\[\d+\])?\s*[::]\s*", re.IGNORECASE)
_FORWARD = re.compile(r"(?:(?:fwd?|wg|tr)\s*:\s*)+", re.IGNORECASE)
_QUOTED = re.compile(rb"^[>|:][>|: ]*(?:diff --git |@@ -)", re.MULTILINE)
_REMEDY = "save the one that is meant in a file of its own"
_OLD_NAME = re.compile(r'^(?:rename|copy) from "?([^"\n]+)', re.MULTILINE)
_FAILED = re.compile(r"error: patch failed: (.*):(\d+)$")
_ABOUT_FILE = re.compile(r"error: (.*?): (No such file or directory|already exists in working directory)$")


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch: the file it came from with that file's SHA-256, who wrote it, what it says it does, the diff, and the
    files that it leaves different, by their path in the tree.

    ``subject`` is without its ``[PATCH v2 1/3]``; it and ``author`` are empty in a bare diff.
    """

    file: str
    sha256: str
    subject: str
    author: str
    diff: bytes
    files: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The patch in a few words."""
        return f"{self.file} ({display(self.subject)})" if self.subject else self.file

    @property
    def described(self) -> str:
        """The patch with its author and its files, in one line."""
        by = f" by {display(self.author)}" if self.author else ""
        return f"{self.label}{by}: {', '.join(map(display, self.files))}"


@dataclass(frozen=True, slots=True)
class _Found:
    """A mail with a diff, its subject taken apart. Without ``[n/m]`` ``number`` is None."""

    mail: PatchMail
    title: str
    version: int
    number: tuple[int, int] | None
    reply: bool = field(compare=False)

    @classmethod
    def of(cls, mail: PatchMail) -> _Found:
        subject = _FORWARD.sub("", mail.subject.strip(), count=1)
        reply = _REPLY.match(subject)
        tags, title = _TAGS.fullmatch(subject[reply.end() :] if reply else subject).groups()  # type: ignore[union-attr]
        version, number = _VERSION.search(tags), _NUMBER.search(tags)
        return cls(
            mail, " ".join(title.split()), int(version[1]) if version else 1,
            (int(number[1]), int(number[2])) if number else None, reply is not None,
        )  # fmt: skip


def read_patches(path: Path) -> tuple[Patch, ...]:
    """Return the patches in the file at *path*, in the order in which they are to be applied.

    A series is put in order by its numbers. Cover letters have no diff; a reply counts only where the file holds
    nothing else, since a reviewer's diff is no part of the series.

    :raises ConfigError: the file cannot be read, there is no patch in it, or it does not say which one is meant: it
        holds two versions, two different diffs in one message, or a series with a gap. Names them.
    :raises RigError: reason ``build-needs``: there is no git on this host.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        mails = mails_in(text := readable(data))
        if not any(mail.diffs for mail in mails) and _QUOTED.search(text):
            raise ConfigError("the patch in it is quoted; save the mail that it is quoted from")
        found = _meant([_Found.of(mail) for mail in mails if mail.diffs])
        sha256 = hashlib.sha256(data).hexdigest()
        return tuple(_patch(path.name, sha256, each) for each in found)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _meant(found: Sequence[_Found]) -> list[_Found]:
    """Return what of *found* is to be applied, in order.

    :raises ConfigError: that is not clear, or nothing.
    """
    if not found:
        raise ConfigError("there is no patch in it")
    found = [each for each in found if not each.reply] or found
    for each in found:
        _check_single(each)
    versions = {each.version: each for each in reversed(found)}
    if len(versions) > 1:
        named = " and ".join(f"v{number} ({display(versions[number].title)})" for number in sorted(versions))
        raise ConfigError(f"it holds two versions: {named}; {_REMEDY}")
    by_key = {(each.title, each.number, each.mail.diffs[0].key): each for each in reversed(found)}  # one of two copies
    found = [each for each in found if any(each is one for one in by_key.values())]
    titles = [each.number or each.title for each in found]
    if twice := next((each for each in found if titles.count(each.number or each.title) > 1), None):
        raise ConfigError(f"it holds two different patches called {display(twice.title)}; {_REMEDY}")
    numbers = sorted(each.number for each in found if each.number)
    if len(numbers) != len(found) or len(found) == 1:
        return found
    missing = sorted(set(range(1, numbers[0][1] + 1)) - {number for number, _ in numbers})
    if missing:
        raise ConfigError(f"patch {missing[0]}/{numbers[0][1]} of the series is not in it")
    return sorted(found, key=lambda each: each.number or (0, 0))


def _check_single(found: _Found) -> None:
    """:raises ConfigError: its diff is broken, or it has two that differ."""
    called = display(found.mail.subject) if found.title else "it"
    first, *others = found.mail.diffs
    if first.broken is not None:
        at = f"before {display(first.broken)}" if first.broken.strip() else "at its end"
        raise ConfigError(
            f"{called} has a hunk that is broken {at}: a line of it was wrapped, changed or lost on its way"
        )
    if others:
        after = f", after {display(others[0].after)}" if others[0].after else ""
        raise ConfigError(
            f"{called} holds two different patches: one of {first.first_file}, and in line {others[0].line}{after} "
            f"one of {others[0].first_file}; {_REMEDY}"
        )


def _patch(file: str, sha256: str, found: _Found) -> Patch:
    """:raises ConfigError: git cannot read the diff; says why."""
    diff = found.mail.diffs[0].text
    label = display(found.title) if found.title else "the diff"
    with TemporaryDirectory(prefix="qstress-patch-") as folder:
        done = git(Path(folder), "apply", "--numstat", "-z", data=diff)
    if done.returncode:
        raise ConfigError(f"{label} cannot be applied: {_said(done.stderr)}")
    names = [entry.split(b"\t")[2].decode(errors="surrogateescape") for entry in done.stdout.split(b"\0") if entry]
    return Patch(file, sha256, found.title, found.mail.author, diff, tuple(names))


def apply_patches(patches: Sequence[Patch], tree: Path, *, dry_run: bool = False, reverse: bool = False) -> None:
    """Apply *patches*, one after the other, to the files under *tree*: all of them, or none when this raises.

    :param dry_run: only find out whether they apply.
    :param reverse: take them out again, the last one first.
    :raises ConfigError: one does not apply; names each file, and where in it.
    :raises RigError: reason ``build-needs``: there is no git on this host.
    """
    with TemporaryDirectory(prefix="qstress-apply-") as name:
        scratch = Path(name)
        for patch in patches:
            for file in (*patch.files, *_OLD_NAME.findall(patch.diff.decode(errors="surrogateescape"))):
                _stage(tree, scratch, Path(file))
        order = patches[::-1] if reverse else patches
        for patch in order:
            _apply(patch, scratch, reverse=reverse)
    if not dry_run:
        for patch in order:
            _apply(patch, tree, reverse=reverse)


def preview(patch_files: Sequence[Path], tree: Path, *, reverse: bool = False) -> tuple[list[Patch], str]:
    """Return the patches in *patch_files* and why they cannot be applied to *tree*, empty if they can. Writes nothing.

    :param reverse: as with :func:`apply_patches`.
    :raises RigError: reason ``build-needs``: there is no git on this host.
    """
    patches: list[Patch] = []
    if not tree.is_dir():
        return patches, f"{tree} is no folder with a source tree"
    try:
        for path in patch_files:
            patches += read_patches(path)
        apply_patches(patches, tree, dry_run=True, reverse=reverse)
    except ConfigError as error:
        return patches, str(error)
    return patches, ""


def _stage(tree: Path, scratch: Path, file: Path) -> None:
    """Copy *file* of *tree*, up to the first symbolic link in its path: git applies nothing beyond one."""
    if file.is_absolute() or ".." in file.parts:
        return  # git will say so
    for end in range(1, len(file.parts) + 1):
        part = Path(*file.parts[:end])
        source, copy = tree / part, scratch / part
        if copy.is_symlink() or copy.is_file():
            return
        if source.is_dir() and not source.is_symlink():
            copy.mkdir(exist_ok=True)
        elif source.is_symlink() or source.is_file():
            shutil.copy2(source, copy, follow_symlinks=False)


def _apply(patch: Patch, folder: Path, *, reverse: bool) -> None:
    forth, back = (["-R"], []) if reverse else ([], ["-R"])
    done = git(folder, "apply", *forth, "-", data=patch.diff)
    if done.returncode:
        there = git(folder, "apply", "--check", *back, "-", data=patch.diff).returncode == 0
        known = "it is not there" if reverse else "it is already there"
        wrong = "cannot be taken out" if reverse else "does not apply"
        raise ConfigError(f"{patch.label} {wrong}: {known if there else _said(done.stderr)}")


def _said(stderr: bytes) -> str:
    """Return what git (2.39) complained of, file by file, else in its own words."""
    failures: list[str] = []
    lines = stderr.decode(errors="replace").splitlines()
    for line in lines:
        if match := _FAILED.match(line):
            failures.append(f"{match[1]}: hunk at line {match[2]}")
        elif match := _ABOUT_FILE.match(line):
            there = match[2].startswith("already")
            failures.append(f"{match[1]}: {'it is already there' if there else 'there is no such file in the tree'}")
    return "; ".join(failures) or "; ".join(line.removeprefix("error: ") for line in lines) or "git does not say why"
