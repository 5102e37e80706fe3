"""Reads patch mails and applies them to a source tree.

A file is one mail (``git format-patch``, or a message saved from a mail client), an mbox with several, or a bare diff.
The diff itself is left to GNU ``patch``, without fuzz: a hunk that almost fits may land in another function, and then
nobody knows what was measured.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

from qstress.config.tree import display
from qstress.errors import ConfigError, RigError

_TIMEOUT_S = 60.0
#: Between two mails of an mbox: ``From``, a sender or commit, and a date as ctime() writes it.
_SEPARATOR = re.compile(rb"(?:\A|(?<=\n\n))From \S+ .*\d\d:\d\d:\d\d.* \d{4}\n")
_DIFF = re.compile(rb"^(?:diff --git |--- [^\n]*\n\+\+\+ )", re.MULTILINE)
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:")
_TAGS = re.compile(r"^(?:\[[^\]]*\]\s*)+")
_NUMBER = re.compile(r"^\[[^\]]*?(\d+)/\d+[^\]]*\]")
_REPLY = re.compile(r"(?:re|aw|antwort)\s*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch: the file it came from with that file's SHA-256, who wrote it, what it says it does, and the diff.

    ``subject`` is without its ``[PATCH v2 1/3]``; it and ``author`` are empty in a bare diff.
    """

    file: str
    sha256: str
    subject: str
    author: str
    diff: bytes

    @property
    def label(self) -> str:
        """The patch in a few words."""
        return f"{self.file} ({display(self.subject)})" if self.subject else self.file


@dataclass(frozen=True, slots=True)
class _Mail:
    subject: str
    author: str
    diff: bytes


def read_patches(path: Path) -> tuple[Patch, ...]:
    """Return the patches in the file at *path*, in the order in which they are to be applied.

    A series is put in order by its numbers. Cover letters have no diff; a reply counts only where the file holds
    nothing else, since a reviewer's diff is no part of the series.

    :raises ConfigError: the file cannot be read, or there is no patch in it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    mails = [mail for mail in map(_mail, _split(data.replace(b"\r\n", b"\n"))) if mail.diff]
    mails = [mail for mail in mails if not _REPLY.match(mail.subject)] or mails
    if not mails:
        raise ConfigError(f"{path}: there is no patch in it")
    numbers = [int(match.group(1)) for mail in mails if (match := _NUMBER.match(mail.subject))]
    if len(set(numbers)) == len(mails):
        mails = [mail for _, mail in sorted(zip(numbers, mails, strict=True), key=lambda pair: pair[0])]
    sha256 = hashlib.sha256(data).hexdigest()
    return tuple(Patch(path.name, sha256, _TAGS.sub("", mail.subject), mail.author, mail.diff) for mail in mails)


def apply_patch(patch: Patch, tree: Path) -> None:
    """Apply *patch* to the files under *tree*, which may be left half patched when this raises.

    :raises ConfigError: it does not apply; names each file, and the hunks of it that failed.
    :raises RigError: reason ``build-needs``: there is no ``patch`` on this host.
    """
    command = ["patch", "-p1", "--forward", "--batch", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-"]
    try:
        done = subprocess.run(
            command, cwd=tree, env={**os.environ, "LC_ALL": "C"}, input=patch.diff, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise RigError("there is no patch on PATH; install the Debian package patch", reason="build-needs") from error
    if done.returncode:
        said = done.stdout.decode(errors="replace")
        why = "; ".join(_failures(said)) or " ".join(said.split())
        raise ConfigError(f"{patch.label} does not apply: {why}")


def _split(data: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in _SEPARATOR.finditer(data)]
    if not starts or data[: starts[0]].strip():
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield _SEPARATOR.sub(b"", data[start:end], count=1)


def _mail(data: bytes) -> _Mail:
    """Return what *data* says; without headers it is all diff."""
    if not _HEADER.match(data):
        return _Mail("", "", _diff(data))
    message = message_from_bytes(data)
    body = b"".join(text for text in map(_text, message.walk()) if _DIFF.search(text))
    author = _header(message, "From")
    first = body.lstrip(b"\n").partition(b"\n")[0]
    if first.startswith(b"From: "):  # a list that rewrites senders: the author is in the body, as git am has it
        author = first.removeprefix(b"From: ").decode(errors="replace")
    return _Mail(_header(message, "Subject"), author, _diff(body))


def _header(message: Message, name: str) -> str:
    """Return a header's text in one line, or as it stands where it is wrongly encoded."""
    text = str(value := message.get(name, ""))
    with suppress(LookupError, ValueError, HeaderParseError):
        text = str(make_header(decode_header(value)))
    return " ".join(text.split())


def _text(part: Message) -> bytes:
    """Return a mail's part as UTF-8, its transfer encoding undone; nothing of a part that has parts or is HTML."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes) or part.get_content_subtype() == "html":
        return b""
    payload = payload.replace(b"\r\n", b"\n")
    try:
        return payload.decode(part.get_content_charset("utf-8")).encode()
    except (LookupError, ValueError):
        return payload


def _diff(body: bytes) -> bytes:
    """Return *body* from its first diff on: GNU patch would also apply an indented diff quoted in the message."""
    match = _DIFF.search(body)
    return body[match.start() :] if match else b""


def _failures(said: str) -> list[str]:
    """Return what GNU patch 2.7 complained of, file by file."""
    failures: dict[str, list[str]] = {}
    file = "?"
    for line in said.splitlines():
        if match := re.match(r"patching (?:file|symbolic link) '?(.*?)'?(?: \(.*\))?$", line):
            file = match.group(1)
        elif match := re.match(r"Hunk #(\d+) FAILED at (\d+)", line):
            failures.setdefault(file, []).append(f"hunk {match.group(1)} (line {match.group(2)})")
        elif match := re.match(r"\|(?:---|\+\+\+) (?:[ab]/)?(\S+)", line):
            file = match.group(1)
        elif line.startswith("No file to patch."):
            failures.setdefault(file, []).append("there is no such file in the tree")
        elif match := re.match(r"The next patch would create the file (\S+),", line):
            failures.setdefault(match.group(1), []).append("it is already there")
        elif "Reversed (or previously applied) patch detected!" in line:
            failures.setdefault(file, []).append("it is already there")
    return [f"{name}: {', '.join(why)}" for name, why in failures.items()]
