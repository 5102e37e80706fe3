"""What people save and paste for a patch mail, made into what git reads (pure).

git wants a mail's first header in the first line, and each mail of an mbox behind a ``From`` line with a date as
``ctime()`` writes it. A list's web page has neither; there title and author are found as readers find them.
"""

from __future__ import annotations

import codecs
import quopri
import re
import textwrap
import zlib
from contextlib import suppress
from html.parser import HTMLParser

from qstress.qemu_build.diffs import diffs_in

_MOST_BYTES = 64 * 1024 * 1024
_SEPARATOR = b"From mail Mon Sep 17 00:00:00 2001\n"
#: ``From``, a sender or commit, and a date in any zone; a header follows.
_FROM_LINE = re.compile(
    rb"^>?From (?=.*\b\d?\d:\d\d\b)(?=.*\b(?:19|20)\d\d\b).*\n(?=>?[A-Za-z][A-Za-z0-9-]*:)", re.MULTILINE
)
_HEADERS = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t]+\S[^\n]*\n)*){1,300}(?=\n)")
_FROM = re.compile(rb"^>?From:", re.MULTILINE | re.IGNORECASE)
_SUBJECT = re.compile(rb"^Subject:", re.MULTILINE | re.IGNORECASE)
_TITLE = re.compile(r"^[^\w\n]{0,8}(?:Subject\s*:?\s+)?(\[[^\]\n]*(?:PATCH|RFC)[^\]\n]*\].*\S)", re.MULTILINE)
#: A title without ``[PATCH]``: labelled, or where hg, git and patchwork write it.
_OTHER_TITLE = re.compile(
    r"^[^\w\n]{0,8}(?:Subject|Title)\s*:?[ \t]+(\S.*)|^# Parent .*\n(.*\S)|^\w*Date: .*\n(?:\w+: .*\n)*\n {4}(\S.*)|"
    r"^(\S.*)\nMessage ID\b",
    re.MULTILINE,
)
_SIGNED_OFF = re.compile(r"^\s*Signed-off-by:\s+(\S.*\S)", re.MULTILINE)
_DAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? \d+ \w{3} \d{4}|[A-Z][a-z]{2,4}\.? \d+, \d{4})"
_LABELLED = r"^(?:# User |[^\w\n]{0,8}(?:From|[Aa]uthor|Submitter)(?:[ \t]*:|\t| {2}))[ \t]*"
_AUTHORS = tuple(re.compile(text, re.MULTILINE) for text in (
    rf"{_LABELLED}(\S.*?)(?: @ \d{{4}}-.*|\t.*| {{2,}}.*)?$",
    r"^(\S.*?) posted \d+ patch",
    rf"^([^\s:][^:\n]*?)(?: via [\w-]+)?,?[ \n]{_DAY}",
))  # fmt: skip
_HTML = re.compile(rb"\s*<[!?a-z]", re.IGNORECASE)
_NEW_LINES = {"br", "div", "dd", "dt", "h1", "h2", "h3", "li", "p", "pre", "table", "td", "th", "tr"}


def readable(data: bytes) -> bytes:
    """Return the file *data* as text: unpacked where an archive gzipped it, in UTF-8 where it was UTF-16, without byte
    order mark, with the line ends of this system."""
    if data.startswith(b"\x1f\x8b"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, _MOST_BYTES)
        except zlib.error:
            return b""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", errors="replace").encode()
    return unix_lines(data.removeprefix(codecs.BOM_UTF8))


def unix_lines(text: bytes) -> bytes:
    """Return *text* with LF for CRLF if every line ends so; the diff of a file with CRLF has both, and stays."""
    return text if re.search(rb"[^\r\n]\n", text) else text.replace(b"\r\n", b"\n")


def as_mbox(text: bytes) -> bytes | None:
    """Return *text* as an mbox that git splits right, what stands before its first header dropped; None: no mail."""
    start = _mail_start(text)
    if start is None:
        return None
    mails = [mail for mail in _FROM_LINE.split(text[start:]) if mail.strip()]
    clean = [re.sub(rb"^From ", b">From ", mail.removeprefix(b">"), flags=re.MULTILINE) for mail in mails]
    return b"".join(_SEPARATOR + mail + b"\n" for mail in clean)


def _mail_start(text: bytes) -> int | None:
    """Return where the first mail's headers, or the ``From`` line before them, begin; before the first diff only."""
    top = len(text) - len(text.lstrip())
    headers = _HEADERS.match(text, top)
    if _FROM_LINE.match(text, top) or (headers and (_FROM.search(headers[0]) or _SUBJECT.search(headers[0]))):
        return top
    diffs = diffs_in(text)
    before = text.split(b"\n")[: diffs[0].line - 1 if diffs else None]
    start = 0
    for line in before:
        headers = _HEADERS.match(text, start)
        if headers and _FROM.search(headers[0]) and _SUBJECT.search(headers[0]):
            return start
        start += len(line) + 1
    return None


def page_text(text: bytes) -> bytes:
    """Return the words of a page, a line each: out of HTML, quoted-printable undone, without a common indent."""
    if _HTML.match(text):
        text = html_text(text)
    if b"=3D" in text and not re.search(rb"=(?![0-9A-F]{2}|[ \t]*\r?\n)", text):
        text = quopri.decodestring(text)  # every "=" begins an escape: nobody has decoded it
    if not diffs_in(text):
        text = textwrap.dedent(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return text


def title_and_author(before: str) -> tuple[str, str]:
    """Return the title and the author that the words *before* a diff name; empty where they name none."""
    titles = list(_TITLE.finditer(before))
    start = titles[-1].start() if titles else 0
    labelled = None if titles else _OTHER_TITLE.search(before)
    title = titles[-1][1] if titles else next(filter(None, labelled.groups())) if labelled else ""
    found = next(filter(None, (pattern.search(before, at) for at in (start, 0) for pattern in _AUTHORS)), None)
    author = plain_address(found[1].removesuffix(" <>")) if found else ""
    signed = [match[1] for match in _SIGNED_OFF.finditer(before) if match[1].startswith(author)]
    return title.strip(), signed[0] if signed and "@" not in author else author


def plain_address(author: str) -> str:
    """Return *author* with the address as it was before an archive hid it from those who collect such."""
    return author.replace(" () ", "@").replace(" ! ", ".").replace(" at ", "@" if "<" in author else " at ")


def html_text(page: bytes) -> bytes:
    """Return the text of an HTML page."""
    parser = _Page()
    with suppress(AssertionError):  # what html.parser raises at a broken "<![": the rest is not read
        parser.feed(page.decode(errors="surrogateescape"))
        parser.close()
    return "".join(parser.said).replace("\xa0", " ").encode(errors="surrogateescape")


class _Page(HTMLParser):
    """Collects what a page says, with line breaks where a browser has them."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._pre = self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._pre += tag == "pre"
        self._hidden += tag in ("script", "style")
        self._break(always=tag == "br", tag=tag)

    def handle_endtag(self, tag: str) -> None:
        self._pre -= tag == "pre"
        self._hidden -= tag in ("script", "style")
        self._break(tag=tag)

    def _break(self, tag: str, *, always: bool = False) -> None:
        if always or (tag in _NEW_LINES and self.said and not self.said[-1].endswith("\n")):
            self.said.append("\n")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._pre <= 0:
            data = re.sub(r"[ \t]*\n[ \t]*", " ", data)
            if not self.said or self.said[-1].endswith("\n"):
                data = data.removeprefix(" ") if data.strip(" ") else ""
        if data:
            self.said.append(data)
