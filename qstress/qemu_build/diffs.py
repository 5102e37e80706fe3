"""Where the diffs stand in a text that holds other words as well (pure)."""

from __future__ import annotations

import re
from typing import NamedTuple

#: The first line of a diff: git's own, or the pair of lines that every unified diff begins with.
_START = re.compile(rb"diff --git \S|--- [^\n]+\n\+\+\+ [^\n]+\n@@ -")
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
#: What git, hg, svn and diff write between and before hunks.
_BETWEEN = re.compile(
    rb"(?:diff -|Index: |={20,}$|--- |\+\+\+ |index |(?:old|new|deleted)(?: file)? mode |(?:dis)?similarity index |"
    rb"(?:rename|copy) (?:from|to) |Binary files |Only in |\\ |$)"
)
_BINARY = re.compile(rb"(?:GIT binary patch|(?:literal|delta) \d+)$")
_TITLED = re.compile(rb"\[[^\]]*(?:PATCH|RFC)")
_NAME = re.compile(rb"^(?:\+\+\+ |--- |diff --git )\"?(?:a/)?([^\s\"]+)", re.MULTILINE)


class Diff(NamedTuple):
    """One diff, of one file or of many, without a foreign word in it.

    ``line`` is its first line's number in the text, from 1; ``after`` is the last title of a patch before it, else the
    last line with words, empty if there is none; ``broken`` is the line that ends a hunk too early, None if none does.
    """

    text: bytes
    line: int
    after: str
    broken: str | None

    @property
    def key(self) -> bytes:
        """What two copies have in common that went through mailers: all but white space and blob names."""
        lines = (line for line in self.text.split(b"\n") if not line.startswith(b"index "))
        return b"".join(lines).translate(None, b" \t\r\n")

    @property
    def first_file(self) -> str:
        """The file that it changes first, for a message."""
        names = [name for name in _NAME.findall(self.text) if name != b"/dev/null"]
        return names[0].decode(errors="replace") if names else "?"


def diffs_in(text: bytes) -> list[Diff]:
    """Return the diffs in *text* that begin in the first column; other words between two make them two.

    A hunk is as long as its header says, so ``-- `` in a diff and the line that begins a mail's signature are told
    apart. A hunk with a line that is none of its own ends the diff there, broken; git then says so.
    """
    lines = text.split(b"\n")
    found: list[Diff] = []
    place, after = 0, b""
    while place < len(lines):
        if not _START.match(b"\n".join(lines[place : place + 3])):
            line = lines[place].strip()
            after = line if line and (_TITLED.search(line) or not _TITLED.search(after)) else after
            place += 1
            continue
        end, whole = _end(lines, place)
        broken = None if whole else b"".join(lines[end : end + 1]).decode(errors="replace")
        found.append(Diff(b"\n".join(lines[place:end]) + b"\n", place + 1, after.decode(errors="replace"), broken))
        place, after = end, b""
    return found


def _end(lines: list[bytes], place: int) -> tuple[int, bool]:
    """Return where the diff that begins at *place* ends, after its last line that is not empty; whether it is whole."""
    end = place
    while place < len(lines):
        if hunk := _HUNK.match(lines[place]):
            place, whole = _hunk_end(lines, place + 1, *(int(count or 1) for count in hunk.groups()))
            if not whole:
                return place, False
            end = place
        elif _BINARY.match(lines[place]):
            while place < len(lines) and lines[place]:
                place += 1
            end = min(place + 1, len(lines))  # git wants the empty line
        elif _BETWEEN.match(lines[place]):
            place += 1
            end = place if lines[place - 1] else end
        else:
            break
    return end, True


def _hunk_end(lines: list[bytes], place: int, old: int, new: int) -> tuple[int, bool]:
    while place < len(lines) and (old > 0 or new > 0 or lines[place].startswith(b"\\ ")):
        first = lines[place][:1]
        if first not in b" +-\\" or (not first and place + 1 == len(lines)):
            break
        old -= first in b" -"  # an empty line stands for an empty line of context, and b"" is in everything
        new -= first in b" +"
        place += 1
    return place, old == new == 0
