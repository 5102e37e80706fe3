"""Patch mails as git reads them: ``git mailsplit`` takes an mbox apart, ``git mailinfo`` undoes a mail's encodings."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from tempfile import TemporaryDirectory

from qstress.errors import ConfigError, RigError
from qstress.qemu_build.diffs import Diff, diffs_in
from qstress.qemu_build.webtext import as_mbox, html_text, page_text, plain_address, title_and_author, unix_lines

_TIMEOUT_S = 60.0
_NESTING = 5
_SIGNED = b"\n-----BEGIN PGP SIGNED MESSAGE-----\n"
_MIME = re.compile(rb"^(?:Content-[A-Za-z-]+|MIME-Version):[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PatchMail:
    """What a mail says: its subject with all tags, its author, and the diffs in it; copies of one are one."""

    subject: str
    author: str
    diffs: tuple[Diff, ...]


def git(folder: Path, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run git in *folder* as if that lay in no repository, with nobody's configuration; *data* is its input.

    :raises RigError: reason ``build-needs``: there is no git on this host; ``build``: git does not end.
    """
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environ |= {"LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}  # fmt: skip
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, env=environ, input=data, capture_output=True, timeout=_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise RigError("there is no git on PATH; install the Debian package git", reason="build-needs") from error
    except subprocess.TimeoutExpired as error:
        raise RigError(f"git {arguments[0]} did not end within {_TIMEOUT_S:.0f} s", reason="build") from error


def mails_in(text: bytes) -> list[PatchMail]:
    """Return the mails in *text* in their order; a text without a mail's headers is one.

    :raises ConfigError: git cannot read a mail; says why.
    :raises RigError: reason ``build-needs``: there is no git on this host.
    """
    return list(_mails(text, _NESTING))


def _mails(text: bytes, nesting: int) -> Iterator[PatchMail]:
    mbox = as_mbox(text)
    if mbox is None:
        page = page_text(text)
        if (mbox := as_mbox(page)) is None:
            diffs = _distinct(diffs_in(unix_lines(page)))
            before = b"\n".join(page.split(b"\n")[: diffs[0].line - 1]) if diffs else b""
            yield PatchMail(*title_and_author(before.decode(errors="replace")), diffs)
            return
    with TemporaryDirectory(prefix="qstress-mails-") as name:
        folder = Path(name)
        _succeeds(git(folder, "mailsplit", "-b", "-d4", "-o.", data=mbox))
        for path in sorted(folder.glob("[0-9]*")):
            yield from _parts(folder, path.read_bytes(), nesting)


def _parts(folder: Path, mail: bytes, nesting: int) -> Iterator[PatchMail]:
    """Yield what *mail* is: itself with the diffs of its parts; before that each attached mail that has a diff."""
    message = message_from_bytes(mail)
    if not message.is_multipart() and message.get_content_subtype() != "html":
        yield _read(folder, mail)
        return
    head = _MIME.sub(b"", mail.partition(b"\n\n")[0] + b"\n")
    said = _read(folder, head + b"\n")
    diffs: list[Diff] = []
    attached: list[PatchMail] = []
    for part in _leaves(message):
        text = _content(part)
        if part.get_content_subtype() == "html":
            text = b"" if diffs else html_text(text)  # where it is all that there is, not as the alternative
        if part is not message and nesting and as_mbox(text) is not None and diffs_in(text):
            attached += [each for each in _mails(text, nesting - 1) if each.diffs]
            continue
        flowed = b"Content-Type: text/plain; format=flowed; delsp=%s\n" % str(part.get_param("delsp", "no")).encode()
        kind = flowed if str(part.get_param("format", "")).lower() == "flowed" else b""
        read = _read(folder, head + kind + b"\n" + text)
        said = read if read.diffs else said  # the author may stand in the text
        diffs += read.diffs
    known = {diff.key for diff in diffs}
    if len(attached) == 1 and known == {diff.key for diff in attached[0].diffs}:
        yield replace(attached[0], author=attached[0].author or said.author)
        return
    yield from attached
    if diffs or not attached:
        yield replace(said, diffs=_distinct(diffs))


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts of *message* that have none; a message in it is one."""
    parts = message.get_payload() if message.is_multipart() and message.get_content_maintype() != "message" else None
    if not isinstance(parts, list):
        yield message
        return
    for part in parts:
        if isinstance(part, Message):
            yield from _leaves(part)


def _content(part: Message) -> bytes:
    if part.is_multipart():
        with suppress(LookupError, ValueError, TypeError):  # what of its headers or its text cannot be written again
            return b"".join(inner.as_bytes() for inner in part.get_payload() if isinstance(inner, Message))
        return b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _read(folder: Path, mail: bytes) -> PatchMail:
    """Return what ``git mailinfo`` reads in a mail of one part; a header that it cannot decode stands as it is."""
    done = git(folder, "mailinfo", "-k", "--encoding=UTF-8", "message", "patch", data=mail)
    if done.returncode:
        done = _succeeds(git(folder, "mailinfo", "-k", "-n", "message", "patch", data=mail))
    info = dict(line.split(": ", 1) for line in map(_decoded, done.stdout.split(b"\n")) if ": " in line)
    email = info.get("Email", "")
    author = " ".join(filter(None, (info.get("Author", ""), f"<{email}>" if email else "")))
    patch = unix_lines((folder / "patch").read_bytes())
    if _SIGNED in mail:
        patch = re.sub(rb"^- ", b"", patch, flags=re.MULTILINE)  # RFC 4880, 7.1: dashes are escaped in a signed text
    return PatchMail(info.get("Subject", ""), plain_address(author), _distinct(diffs_in(patch)))


def _decoded(header: bytes) -> str:
    """Decode what stood raw in a mail: UTF-8, or the Latin-1 of a mail whose text is declared to be something else."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _distinct(diffs: list[Diff]) -> tuple[Diff, ...]:
    """Return each diff once; of two copies the later, for an attachment has been through less than a mail's text."""
    return tuple({diff.key: diff for diff in diffs}.values())


def _succeeds(done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[bytes]:
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise ConfigError(f"{' '.join(done.args[:2])} cannot read it: {said or 'it says nothing'}")
    return done
