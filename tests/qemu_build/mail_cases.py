"""Patch mails as people send, save and paste them, made from a small repository, each with what it must come to."""

from __future__ import annotations

import base64
import gzip
import html
import quopri
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

AUTHOR = "Ann Uthör <ann@example.org>"
TITLE = "kvm: fünf == 5, as the manual has it"
REVIEW = b"""diff --git a/target/kvm.c b/target/kvm.c
--- a/target/kvm.c
+++ b/target/kvm.c
@@ -29,3 +29,3 @@
 line 29
-line 30
+a reviewer's line
 line 31
"""


@dataclass(frozen=True)
class Clean:
    """The mails of ``git format-patch``: one patch, its second version, a series of three with its cover letter in
    front, and one of a file in Latin-1 with CRLF."""

    one: bytes
    two: bytes
    series: tuple[bytes, ...]
    latin: bytes

    @property
    def head(self) -> bytes:
        return self.one.partition(b"\n\n")[0]

    @property
    def body(self) -> bytes:
        return self.one.partition(b"\n\n")[2]

    @property
    def diff(self) -> bytes:
        return self.body[self.body.index(b"diff --git") : self.body.index(b"\n-- \n") + 1]

    @property
    def message(self) -> bytes:
        return self.body[: self.body.index(b"---\n")]


@dataclass(frozen=True)
class Case:
    """One file. ``am``: the clean mails that give the same tree; else ``refused`` is in the refusal. ``subjects`` and
    ``author``, where they are told by the file."""

    name: str
    data: bytes
    am: tuple[bytes, ...] = ()
    refused: str = ""
    subjects: tuple[str, ...] | None = None
    author: str | None = AUTHOR


def repository(folder: Path) -> Clean:
    """Make the repository in *folder*, its first commit checked out; return the mails of what follows that."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    lines = [f"line {number}" for number in range(1, 41)]
    write(folder, "target/kvm.c", "\n".join(lines).encode() + b"\n")
    write(folder, "target/old.c", b"".join(b"old %d\n" % number for number in range(20)))
    write(folder, "target/gone.c", b"gone\n")
    write(folder, "target/latin.c", "grün\r\n".encode("latin-1") * 5)
    commit(folder, "base")
    lines[4] = '\tfünf == 5 ? "a=3D" : "' + "x" * 90 + '";  '
    write(folder, "target/kvm.c", "\n".join(lines).encode() + b"\n")
    write(folder, "target/new.c", b"From here on\n-- \n.dot\n")
    commit(folder, f"{TITLE}\n\nFrom the manual: fünf. See\n  > quoted\nFrom 12:00 on.\n\nSigned-off-by: {AUTHOR}")
    one = mail(folder, "-1")
    write(folder, "target/kvm.c", "\n".join(lines).replace("fünf == 5", "fünf >= 5").encode() + b"\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--amend", "--no-edit")
    two = mail(folder, "-1", "-v2")
    git(folder, "checkout", "-q", "main~1", "-B", "series")
    lines = [f"line {number}" for number in range(1, 41)]
    for number, change in enumerate(("first", "second", "third")):
        lines[9] = f"line 10, {change}"
        write(folder, "target/kvm.c", "\n".join(lines).encode() + b"\n")
        if number == 1:
            git(folder, "mv", "target/old.c", "target/renamed.c")
            (folder / "target/renamed.c").chmod(0o755)
        if number == 2:
            (folder / "target/gone.c").unlink()
            write(folder, "target/bits.bin", bytes(range(256)) * 4)
        commit(folder, f"kvm: {change}\n\nSigned-off-by: {AUTHOR}")
    series = mail(folder, "-3", "-v3", "--cover-letter", "--thread")
    git(folder, "checkout", "-q", "main~1", "-B", "latin")
    write(folder, "target/latin.c", "grün\r\n".encode("latin-1") * 4 + "süß\r\n".encode("latin-1"))
    commit(folder, "latin: süß")
    latin = mail(folder, "-1")
    git(folder, "checkout", "-q", "main~1", "-B", "base")
    parts = [b"From " + part for part in re.split(rb"^From (?=[0-9a-f]{40} )", series, flags=re.MULTILINE)[1:]]
    return Clean(one, two, tuple(parts), latin)


def write(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


def git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Run git in *folder* as nobody's git, for Ann."""
    settings = ["-c", "user.name=Ann Uthör", "-c", "user.email=ann@example.org", "-c", "core.autocrlf=false"]
    environ = {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, env=environ, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def mail(folder: Path, *arguments: str) -> bytes:
    return git(folder, "format-patch", "--stdout", "--encode-email-headers", *arguments)


def am(folder: Path, mails: Sequence[bytes]) -> None:
    """Apply the clean *mails* to the checkout in *folder* as git does."""
    for each in mails:
        git(folder, "am", "-q", "--keep-cr", data=each)


def encoded(clean: Clean, encoding: str, body: bytes) -> bytes:
    head = re.sub(
        rb"(?m)^Content-Transfer-Encoding: .*", b"Content-Transfer-Encoding: " + encoding.encode(), clean.head
    )
    return head + b"\n\n" + body


def subject(mail_: bytes, text: bytes) -> bytes:
    """Return *mail_* with the subject *text*."""
    return re.sub(rb"(?m)^Subject: .*\n(?: .*\n)*", b"Subject: " + text + b"\n", mail_, count=1)


def multipart(
    clean: Clean,
    *parts: MIMEText | MIMEApplication | MIMEMultipart | MIMEMessage,
    kind: str = "mixed",
    author: str = AUTHOR,
) -> bytes:
    message = MIMEMultipart(kind)
    message["From"], message["Subject"] = author, f"[PATCH] {TITLE}"
    for part in parts:
        message.attach(part)
    return message.as_bytes()


def attached(data: bytes, name: str = "x.patch") -> MIMEApplication:
    part = MIMEApplication(data, "octet-stream")
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def flowed(body: bytes) -> bytes:
    """Return *body* as ``format=flowed`` (RFC 3676) without a soft break: spaces stuffed, none left at a line's end."""
    return b"".join(b" " * line.startswith((b" ", b">", b"From ")) + line for line in body.splitlines(keepends=True))


def unpadded(body: bytes) -> bytes:
    """Return *body* without spaces at the ends of the lines that it adds."""
    return re.sub(rb"(?m)^(\+.*?) +$", rb"\1", body)


def page(clean: Clean, before: str, after: str = "") -> bytes:
    """Return what one copies from an archive's page."""
    return before.encode() + clean.message + b"---\n" + clean.body[clean.body.index(b"---\n") + 4 :] + after.encode()


FROM = b"From ann@example.org Tue Sep  9 12:00:00 2025\n"
LORE = f"""All of lore.kernel.org
 help / color / mirror / Atom feed
* [PATCH v1] {TITLE}
@ 2025-09-09 12:00 Ann Uthör
  2025-09-10  8:00 ` Rev Iewer
  0 siblings, 1 reply; 2+ messages in thread
From: {AUTHOR} @ 2025-09-09 12:00 UTC (permalink / raw)
  To: qemu-devel; +Cc: kvm

"""
MARC = f"""[prev in list] [next in list]
List:       qemu-devel
Subject:    [PATCH] {TITLE}
From:       Ann Uthör <ann () example ! org>
Date:       2025-09-09 12:00:00

"""
LORE_END = f"""
^ permalink raw reply\t[flat|nested] 2+ messages in thread
* Re: [PATCH v1] {TITLE}
  2025-09-09 12:00 [PATCH v1] {TITLE} Ann Uthör
@ 2025-09-10  8:00 ` Rev Iewer
  0 siblings, 0 replies; 2+ messages in thread
From: Rev Iewer @ 2025-09-10  8:00 UTC (permalink / raw)

> diff --git a/target/kvm.c b/target/kvm.c
> --- a/target/kvm.c

Why?
"""


def transfer(c: Clean) -> list[Case]:
    one = (c.one,)
    latin_head = c.latin.partition(b"\n\n")[0]
    latin_body = c.latin.partition(b"\n\n")[2]
    seven = c.one.replace("fünf".encode(), b"funf").replace("Uthör".encode(), b"Uthor")
    return [
        Case("format-patch", c.one, one),
        Case("7bit", seven, (seven,), author=None),
        Case("quoted-printable", encoded(c, "quoted-printable", quopri.encodestring(c.body)), one),
        Case(
            "quoted-printable with CRLF inside",
            encoded(c, "quoted-printable", re.sub(rb"(?<!=)\n", b"=0D\n", quopri.encodestring(c.body))),
            one,
        ),
        Case("base64", encoded(c, "base64", base64.encodebytes(c.body)), one),
        Case("base64 with CRLF inside", encoded(c, "base64", base64.encodebytes(c.body.replace(b"\n", b"\r\n"))), one),
        Case("base64 in one line", encoded(c, "base64", base64.b64encode(c.body)), one),
        Case("quoted-printable in capitals", encoded(c, "QUOTED-PRINTABLE", quopri.encodestring(c.body)), one),
        Case("quoted-printable that nobody decoded", quopri.encodestring(c.diff), one, author=""),
        Case(
            "Latin-1 and CRLF in the file, base64",
            latin_head.replace(b": 8bit", b": base64") + b"\n\n" + base64.encodebytes(latin_body),
            (c.latin,),
        ),
        Case(
            "Latin-1 declared",
            re.sub(rb"charset=\S+", b"charset=iso-8859-1", latin_head).replace(b": 8bit", b": base64")
            + b"\n\n"
            + base64.encodebytes(latin_body),
            (c.latin,),
        ),
        Case("CRLF", c.one.replace(b"\n", b"\r\n"), one),
        Case("UTF-16, as a shell of Windows redirects", c.one.decode().replace("\n", "\r\n").encode("utf-16"), one),
        Case("gzip, as an archive gives it", gzip.compress(FROM + c.one), one),
        Case(
            "format=flowed",
            re.sub(rb"(?m)^Content-Type: .*", b"Content-Type: text/plain; charset=UTF-8; format=flowed", c.head)
            + b"\n\n"
            + flowed(unpadded(c.body)),
            (unpadded(c.one),),
        ),
        Case(
            "format=flowed with soft breaks",
            re.sub(rb"(?m)^Content-Type: .*", b"Content-Type: text/plain; format=flowed", c.head)
            + b"\n\n"
            + flowed(c.body),
            refused="broken before",
        ),
        Case("a line wrapped by the mailer", c.one.replace(b' : "xx', b'\n: "xx'), refused="broken before"),
        Case(
            "tabs made spaces", c.series[1].replace(b"\n line 11", b"\n line  11"), refused="target/kvm.c: hunk at line"
        ),
    ]


def first_lines(c: Clean) -> list[Case]:
    one = (c.one,)
    rest = c.one.partition(b"\n")[2]
    qp = encoded(c, "quoted-printable", quopri.encodestring(c.body)).partition(b"\n")[2]
    heads = {
        "no From line": b"",
        "an empty line": b"\n",
        "empty lines and blanks": b"\n  \n\r\n",
        "a byte order mark": b"\xef\xbb\xbf",
        ">From": b">From ann@example.org Tue Sep  9 12:00:00 2025\n",
        "a short hour": b"From ann@example.org Tue Sep  9 9:00:00 2025\n",
        "a zone": b"From ann@example.org Tue Sep  9 12:00:00 +0200 2025\n",
        "a zone by name": b"From ann@example.org Tue Sep 9 12:00:00 UTC 2025\n",
        "a zone at the end": b"From ann@example.org Tue Sep  9 12:00:00 2025 +0200\n",
        "no seconds": b"From ann Tue Sep  9 12:00 2025\n",
        "a mark, then From": b"\xef\xbb\xbf" + FROM,
        "an empty line, then From": b"\n" + FROM,
        "Mozilla's From": b"From - Tue Sep  9 12:00:00 2025\nX-Mozilla-Status: 0001\n",
        "words of a shell": b"$ curl -s the-archive/raw\n",
        "words and an empty line": b"Saved from the archive.\n\n",
    }
    return [
        Case(f"first: {name}", head + (qp if number % 2 else rest), one)
        for number, (name, head) in enumerate(heads.items())
    ]


def headers(c: Clean) -> list[Case]:
    one, rest = (c.one,), c.one.partition(b"\n")[2]
    title = (TITLE,)
    raw = re.sub(rb"(?m)^From: .*", f"From: {AUTHOR}".encode(), rest)
    raw = subject(raw, f"[PATCH] {TITLE}".encode())
    latin = subject(
        re.sub(rb"(?m)^From: .*", f"From: {AUTHOR}".encode("latin-1"), rest), f"[PATCH] {TITLE}".encode("latin-1")
    )
    return [
        Case("headers in raw UTF-8", raw, one, subjects=title),
        Case("headers in raw Latin-1", latin, one, subjects=title),
        Case("a colon behind the tag", subject(c.one, b"[PATCH v3]: x"), one, subjects=("x",)),
        Case("two tags", subject(c.one, b"[RFC] [PATCH v3] x"), one, subjects=("x",)),
        Case("no tag", subject(c.one, b"x: [not a tag] y"), one, subjects=("x: [not a tag] y",)),
        Case("a list's tag and forward", subject(c.one, b"Fwd: [Qemu-devel] [PATCH] x"), one, subjects=("x",)),
        Case(
            "the author is in the body",
            re.sub(rb"(?m)^From: .*", b"From: via list <list@x.org>", c.head)
            + b"\n\nFrom: "
            + AUTHOR.encode()
            + b"\n\n"
            + c.body,
            one,
        ),
        Case(
            "many signatures",
            c.one.replace(b"\n---\n", b"\nReviewed-by: R <r@x.org>\nCc: stable@x.org\n---\nv2: better\n\n", 1),
            one,
            subjects=title,
        ),
        Case(
            "hg",
            b"# HG changeset patch\n# User "
            + AUTHOR.encode()
            + b"\n# Date 1757419200 0\n# Node ID 0123\n# Parent  4567\nkvm: x\n\n"
            + c.diff,
            one,
            subjects=("kvm: x",),
        ),
        Case(
            "git show",
            b"commit 0123456789abcdef0123456789abcdef01234567\nAuthor: "
            + AUTHOR.encode()
            + b"\nDate:   Tue Sep 9 12:00:00 2025 +0000\n\n    kvm: x\n\n    words\n\n"
            + c.diff,
            one,
            subjects=("kvm: x",),
        ),
        Case("bare diff", c.diff, one, subjects=("",), author=""),
        Case("bare diff with CRLF", c.diff.replace(b"\n", b"\r\n"), one, author=""),
        Case(
            "bare diff without git's lines", re.sub(rb"(?m)^(?:diff|index|new file) .*\n", b"", c.diff), one, author=""
        ),
        Case(
            "svn",
            re.sub(
                rb"(?m)^diff --git a/(.*) b/.*\n(?:new .*\n)?index .*\n", rb"Index: \1\n" + b"=" * 67 + b"\n", c.diff
            ),
            one,
            author="",
        ),
        Case(
            "all of it indented", b"".join(b"    " + line for line in c.diff.splitlines(keepends=True)), one, author=""
        ),
    ]


def boxes(c: Clean) -> list[Case]:
    series = c.series[1:]
    parts = [part.partition(b"\n")[2] for part in c.series]
    names = ("kvm: first", "kvm: second", "kvm: third")
    box = b"".join(FROM + part for part in parts)
    reply = FROM + subject(c.one, b"Re: [PATCH v3 1/3] kvm: first").partition(b"\n")[2].replace(c.diff, REVIEW)
    rd = re.sub(rb"(?m)^(>*From )", rb">\1", c.one.partition(b"\n")[2])
    return [
        Case("series", b"".join(c.series), series, subjects=names),
        Case("series out of order", b"".join(FROM + part for part in reversed(parts)), series, subjects=names),
        Case(
            "series without empty lines between",
            b"".join(FROM + part.rstrip() + b"\n" for part in parts),
            series,
            subjects=names,
        ),
        Case(
            "series with odd From lines",
            b"".join(
                line + part
                for line, part in zip(
                    (
                        b"From a 9:00:00 Sep 9 2025\n",
                        b">From a Tue Sep  9 9:00:00 +0200 2025\n",
                        b"From a@x.org Tue Sep  9 9:00 CEST 2025\n",
                        b"From - Tue, 9 Sep 2025 9:00:00 GMT\n",
                    ),
                    parts,
                    strict=True,
                )
            ),
            series,
            subjects=names,
        ),
        Case("series with CRLF", box.replace(b"\n", b"\r\n"), series, subjects=names),
        Case("series with a review", box + reply, series, subjects=names),
        Case(
            "series with a review in between",
            FROM + parts[1] + reply + b"".join(FROM + part for part in parts[2:]),
            series,
            subjects=names,
        ),
        Case("series received twice", box + box, series, subjects=names),
        Case("series with a gap", c.series[1] + c.series[3], refused="patch 2/3 of the series is not in it"),
        Case("one of a series", c.series[1], series[:1], subjects=names[:1]),
        Case("cover letter alone", c.series[0], refused="there is no patch in it"),
        Case("mboxrd", FROM + rd, (c.one,)),
        Case("mboxo", FROM + re.sub(rb"(?m)^(From )", rb">\1", c.one.partition(b"\n")[2]), (c.one,)),
        Case(
            "mboxcl, nothing escaped",
            FROM
            + b"Content-Length: 9\n"
            + c.one.partition(b"\n")[2].replace(b"From the manual", b"From the log of Mon Sep 17 12:00:00 2001"),
            (c.one,),
        ),
        Case("two versions", c.one + c.two, refused="two versions: v1 ('kvm: fünf == 5, as the manual has it') and v2"),
        Case("two versions, the later first", c.two + c.one, refused="two versions: v1"),
        Case("two versions without empty lines", c.two.rstrip() + b"\n" + c.one, refused="two versions: v1"),
        Case(
            "two diffs under one title",
            subject(c.one, b"[PATCH] x") + subject(c.two, b"[PATCH] x"),
            refused="two different patches called",
        ),
        Case("the second version alone", c.two, (c.two,), subjects=(TITLE,)),
        Case("a reply alone", subject(c.one, b"Re: [PATCH] x"), (c.one,), subjects=("x",)),
        Case("a reply that quotes", re.sub(rb"(?m)^", b"> ", c.diff), refused="the patch in it is quoted"),
    ]


def mime(c: Clean) -> list[Case]:
    one = (c.one,)
    text, patch = MIMEText("see there\n"), MIMEText(c.diff.decode(), "x-patch", "utf-8")
    inline = MIMEText(c.body.decode(), "plain", "utf-8")
    rich = MIMEText(f"<html><body><pre>{html.escape(c.body.decode())}</pre></body></html>", "html", "utf-8")
    divs = "".join(
        f"<div>{html.escape(line).replace(' ', '&nbsp;') or '<br>'}</div>\n" for line in c.body.decode().split("\n")
    )
    return [
        Case("attached diff", multipart(c, text, patch), one, subjects=(TITLE,)),
        Case(
            "text and HTML, the author in the text",
            multipart(
                c,
                MIMEText(f"From: {AUTHOR}\n\n{c.body.decode()}", "plain", "utf-8"),
                rich,
                kind="alternative",
                author="L <l@x>",
            ),
            one,
        ),
        Case("attached as bytes", multipart(c, text, attached(c.diff)), one, subjects=(TITLE,)),
        Case("attached mail of format-patch", multipart(c, text, attached(c.one)), one, subjects=(TITLE,)),
        Case("inline and attached", multipart(c, inline, attached(c.diff)), one, subjects=(TITLE,)),
        Case(
            "inline and the whole mail attached",
            multipart(c, inline, attached(c.one), author="Rev <r@x.org>"),
            one,
            subjects=(TITLE,),
        ),
        Case(
            "inline, white space lost, and attached",
            multipart(c, MIMEText(c.body.decode().replace(";  \n", ";\n")), attached(c.diff)),
            one,
        ),
        Case("series attached", multipart(c, text, *map(attached, c.series)), c.series[1:]),
        Case(
            "forwarded as an attachment",
            multipart(c, text, MIMEMessage(message_from_bytes(c.one)), author="Rev <r@x.org>"),
            one,
            subjects=(TITLE,),
        ),
        Case("text and HTML", multipart(c, inline, rich, kind="alternative"), one, subjects=(TITLE,)),
        Case("HTML alone", multipart(c, rich, kind="alternative"), one, subjects=(TITLE,)),
        Case(
            "HTML, a block a line",
            multipart(c, MIMEText(f"<html><body>{divs}</body></html>", "html", "utf-8"), kind="alternative"),
            one,
        ),
        Case(
            "signed",
            multipart(c, inline, MIMEApplication(b"-----BEGIN PGP SIGNATURE-----\n", "pgp-signature"), kind="signed"),
            one,
        ),
        Case(
            "inline and another attached",
            multipart(c, inline, attached(REVIEW)),
            refused="two different patches: one of target/kvm.c",
        ),
    ]


def reviews(c: Clean) -> list[Case]:
    indented = b"".join(b"  " + line for line in REVIEW.splitlines(keepends=True))
    return [
        Case("a reviewer's diff below", c.one + b"\nI would rather:\n\n" + REVIEW, refused="after 'I would rather:'"),
        Case("a reviewer's diff indented below", c.one + b"\nI would rather:\n\n" + indented, (c.one,)),
        Case("a diff quoted in the message", c.head + b"\n\nUnlike\n\n" + indented + b"\n" + c.body, (c.one,)),
        Case(
            "a diff in the message",
            c.head + b"\n\nUnlike\n\n" + REVIEW + b"\nthis is right.\n" + c.body,
            refused="two different patches",
        ),
        Case("its own diff once more", c.one + b"\nOnce more:\n\n" + c.diff, (c.one,)),
        Case("a footer of the list", c.one + b"_____\nqemu-devel mailing list\nhttps://lists.example.org/\n", (c.one,)),
    ]


def pages(c: Clean) -> list[Case]:
    one, title = (c.one,), (TITLE,)
    when = "Tue, 09 Sep 2025 12:00:00 -0700"
    lore = page(c, LORE, LORE_END)
    lore_html = f"<!DOCTYPE html><html><style>a</style><body><pre>{html.escape(lore.decode())}</pre></body></html>"
    raw = html.escape(c.one.decode().partition("\n")[2])
    xml = f'<?xml version="1.0"?><html><body><pre>{raw}</pre></body></html>'
    return [
        Case("page that is a mail, saved as XHTML", xml.encode(), one, subjects=title),
        Case("page of lore", lore, one, subjects=title),
        Case("page of lore, saved as HTML", lore_html.encode(), one, subjects=title),
        Case(
            "page of patchew",
            page(c, f"[PATCH v2] {TITLE}\n{AUTHOR} posted 1 patch 2 days, 3 hours ago\ntarget/kvm.c | 2 +-\n"),
            one,
            subjects=title,
        ),
        Case("page of mail-archive", page(c, f"[PATCH] {TITLE}\nAnn Uthör {when}\n\n"), one, subjects=title),
        Case(
            "page of pipermail",
            page(
                c, f"[Prev in Thread][Next in Thread]\nFrom: \t{AUTHOR}\nSubject: \t[PATCH] {TITLE}\nDate: \t{when}\n\n"
            ),
            one,
            subjects=title,
        ),
        Case(
            "page of marc",
            page(
                c,
                MARC,
            ),
            one,
            subjects=title,
        ),
        Case(
            "page of patchwork",
            page(c, f"Message ID\t1@x\nState\tNew\nSubmitter\tAnn Uthör\n[PATCH] {TITLE}\n"),
            one,
            subjects=title,
        ),
        Case("page with the title only", page(c, f"[PATCH] {TITLE}\n\n"), one, subjects=title),
        Case(
            "page with two versions",
            lore + page(replace(c, one=c.two), LORE.replace("v1", "v2")),
            refused="after '* [PATCH v2]",
        ),
        Case(
            "page with a review", lore + b"Better:\n\n" + REVIEW, refused="two different patches: one of target/kvm.c"
        ),
        Case(
            "page with a series",
            b"".join(c.series[1:]).replace(b"From ", b"* From ").replace(b"\nSubject:", b"\n* "),
            refused="two different patches",
        ),
        Case("no patch at all", b"<html><body>404</body></html>", refused="there is no patch in it"),
    ]


GROUPS: tuple[Callable[[Clean], list[Case]], ...] = (transfer, first_lines, headers, boxes, mime, reviews, pages)


def cases(clean: Clean) -> list[Case]:
    return [case for group in GROUPS for case in group(clean)]
