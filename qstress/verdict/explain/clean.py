"""Undo what mail, terminals, browsers and JSON did to a pasted text, as far as reading register dumps needs it.

Each step is one linear pass. What cannot be undone is left alone: the reader takes what it finds.
"""

from __future__ import annotations

import base64
import codecs
import html
import re

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]{0,16}[A-Za-z]|[()][0-9A-B])")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_SPACE = re.compile(r"[\u00a0\u2000-\u200a\u202f\u3000]")
# What Markdown means bold by, and a backslash before its own marks.
_BOLD = re.compile(r"(?<!\*)\*\*(?!\*)")
_ESCAPED_MARK = re.compile(r"\\([#_*>\[\]=-])")
_ESCAPED_BREAK = re.compile(r"\\r\\n|\\n|\\r")
_ANY_BREAK = re.compile(r"\r*\n|\r+|\u2028")
_TAG = re.compile(r"</?(?:code|span|font|b|i|u|a|em|strong|samp|kbd)\b[^<>\n]{0,200}>", re.IGNORECASE)
_BLOCK_TAG = re.compile(
    r"</?(?:p|pre|div|table|tbody|t[dhr]|li|[uo]l|blockquote|h[1-6])\b[^<>\n]{0,200}>\n?", re.IGNORECASE
)
_HTML_BREAK = re.compile(r"<br\s{0,4}/?>\n?", re.IGNORECASE)
# QEMU prints lower-case digits, 8 or 16 of them: a capital D and two digits too many are not its own.
_QUOTED_PRINTABLE = re.compile(r"=3D(?:[01](?![0-9a-f])|mask |(?:0x)?[0-9a-f]{8}(?:[0-9a-f]{8})?(?![0-9a-f]))")
_SOFT_BREAK = re.compile(r"=\n(?:> ?){0,8}")
_QUOTED_SPACE = re.compile(r"=(?:20|09)$|=C2=A0", re.MULTILINE)
_BASE64 = re.compile(
    r"^(?:> ?)?content-transfer-encoding: ?base64 ?\n(?:[^\n]{1,998}\n){0,20}\n((?:[A-Za-z0-9+/]{4,998}={0,2}\n?)+)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = r"[0-9a-fA-F]"
# A value that a terminal or mail client broke in two, perhaps with a quotation mark before its second part.
_BREAK = r"\n[>|]{0,8}[ \t]{0,8}"
_SPLIT_VALUE = re.compile(
    rf"(?P<wide>R(?:[A-EI-S][A-Z]|\d{{1,2}}) ?)?(?P<is>= ?)(?P<first>{_NUMBER}{{1,15}}){_BREAK}"
    rf"(?P<second>{_NUMBER}{{1,15}})(?![0-9a-fA-F=])"
)
# A segment's base, where limit and flags follow.
_SPLIT_BASE = re.compile(
    rf"((?:[CDEFGS]S|TR|LDT) ?={_NUMBER}{{4}} )({_NUMBER}{{1,15}}){_BREAK}({_NUMBER}{{1,15}})"
    rf"(?= {_NUMBER}{{8}} {_NUMBER}{{8}})"
)


def cleaned(data: bytes) -> str:
    """Return *data* as text with plain line breaks, without escapes, markup and quoted-printable; never raises."""
    text = _decoded(data)
    text = _ANY_BREAK.sub("\n", text)
    if "\\n" in text or "\\r" in text:
        text = _ESCAPED_BREAK.sub("\n", text)
    if "\\" in text:
        text = _ESCAPED_MARK.sub(r"\1", text)
    text = _BASE64.sub(_part, text)
    text = _UNPRINTABLE.sub("", _ANSI.sub("", text))
    if "=\n" in text or "=3D" in text:
        text = _without_quoted_printable(text)
    if "<" in text or "&" in text:
        text = _without_markup(text)
    text = _BOLD.sub("", _SPACE.sub(" ", text))
    return _SPLIT_BASE.sub(_joined_base, _SPLIT_VALUE.sub(_joined, text))


def _decoded(data: bytes) -> str:
    in_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if in_utf_16 else "utf-8", errors="replace")


def _part(match: re.Match[str]) -> str:
    """Decode a part of a raw mail that is in base64."""
    digits = re.sub(r"[\n=]", "", match[1])
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]  # one alone is no byte
    data = base64.b64decode(digits + "=" * (-len(digits) % 4))
    return "\n" + _ANY_BREAK.sub("\n", data.decode("utf-8", errors="replace")) + "\n"


def _without_quoted_printable(text: str) -> str:
    """Decode RFC 2045 quoted-printable, where a register value proves that it is: ``EIP=3D0000fff0``, ``HLT=3D1``.

    Soft breaks go first: they may stand anywhere, also within the proof. Then only what no dump prints is decoded, so
    that a plain dump next to it (``EAX=20000000``) stays as it is.
    """
    joined = _SOFT_BREAK.sub("", text)
    if not _QUOTED_PRINTABLE.search(joined):
        return text
    return _QUOTED_SPACE.sub(" ", joined).replace("=3D", "=")


def _without_markup(text: str) -> str:
    """Drop the tags that wrap pasted text; a ``<00>`` in a line of code bytes is none of them."""
    text = _TAG.sub("", _BLOCK_TAG.sub("\n", _HTML_BREAK.sub("\n", text)))
    return html.unescape(html.unescape(text)) if "&" in text else text  # some pages escape what is escaped


def _joined(match: re.Match[str]) -> str:
    """Join both parts where together they have the length of a register, 8 or 16 digits, and the first has not: the
    64-bit ones have 16, all but ``RFL``."""
    first, second = match["first"], match["second"]
    half = len(first) == 8 and not match["wide"]
    if not half and len(first) + len(second) in (8, 16):
        return (match["wide"] or "") + match["is"] + first + second
    return match[0]


def _joined_base(match: re.Match[str]) -> str:
    start, first, second = match.groups()
    return start + first + second if len(first) + len(second) in (8, 16) else match[0]
