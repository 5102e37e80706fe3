"""Reports of every kind in the layouts of recent kernels, as lines and as the records of ``/dev/kmsg``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qstress.hostlog.records import LogLine

FOLDER = Path(__file__).parent.parent / "data" / "hostlog"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


@dataclass(frozen=True, slots=True)
class Golden:
    """One file: what the report is called, its kind, the threads it names, its lines, and what is said with those that
    do not belong to it (``~`` in the file)."""

    title: str
    kind: str
    tasks: tuple[int, ...]
    lines: tuple[str, ...]
    said: tuple[str, ...]


def golden(name: str) -> Golden:
    """Return the report in the file *name*."""
    title, kind, tasks, *lines = (FOLDER / f"{name}.txt").read_text().removesuffix("\n").split("\n")
    return Golden(
        title.removeprefix("# title: "),
        kind.removeprefix("# kind: "),
        tuple(map(int, tasks.removeprefix("# tasks:").split())),
        tuple(line for line in lines if not line.startswith("~")),
        tuple(line.removeprefix("~") for line in lines),
    )


def spoken(texts: Iterable[str], *, start_us: int = 0, caller: str = "", level: int = 4) -> Iterator[LogLine]:
    """Yield *texts* as lines, 10 us apart."""
    for place, text in enumerate(texts):
        yield LogLine(level, start_us + 10 * place, caller, text)


def recorded(texts: Iterable[str], *, first: int = 0, start_us: int = 0, priority: int = 4) -> bytes:
    """Return *texts* as the records that ``/dev/kmsg`` gives, numbered from *first*."""
    return b"".join(
        b"%d,%d,%d,-;%s\n" % (priority, first + place, start_us + 10 * place, escaped(text))
        for place, text in enumerate(texts)
    )


def escaped(text: str) -> bytes:
    """Write what is not printable as the kernel does."""
    return "".join(char if " " <= char < "\x7f" and char != "\\" else f"\\x{ord(char):02x}" for char in text).encode()


def _blocks(path: Path, head: str) -> Iterator[list[str]]:
    """Yield the parts of the file *path* that begin with a line ``# head``, without the empty line between two."""
    for block in re.split(rf"^(?=# {head})", path.read_text(), flags=re.MULTILINE)[1:]:
        yield block.rstrip("\n").split("\n")


def cases() -> list[Golden]:
    """Return the reports of which several stand in a file; the threads that they name are not told."""
    return [
        Golden(title.removeprefix("# title: "), kind.removeprefix("# kind: "), (), tuple(lines), tuple(lines))
        for path in sorted((FOLDER / "reports").glob("*.txt"))
        for title, kind, *lines in _blocks(path, "title: ")
    ]


def healthy() -> dict[str, list[str]]:
    """Return logs of machines on which nothing is wrong, by what they show."""
    return {name.removeprefix("# "): lines for name, *lines in _blocks(FOLDER / "healthy/healthy.txt", "")}
