"""HMP lines out of the monitor's own ``help``: right ones by the shape of their arguments, and malformed ones (pure).

``help`` prints ``name|alias ARGUMENTS -- what it does``, some over several lines; ``help info`` the same with ``info``
in front (QEMU: hmp-commands.hx, "STEXI"-less since 5.0; read on 7.2 and 10.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from qstress.fuzz.pool import ODD, Pool, pick
from qstress.fuzz.shapes import SHAPES, expression, number, typable

_START = re.compile(r"([A-Za-z_?][\w-]*)((?:\|[\w?-]+)*)( .*)?$")
_WORD = re.compile(r"[\[\]]|[^\s\[\]]+")


@dataclass(frozen=True, slots=True)
class HmpCommand:
    """``shape`` is what ``help`` shows of the arguments: words, and ``[`` and ``]`` around optional ones."""

    name: str
    shape: tuple[str, ...]


def parse_help(text: str) -> list[HmpCommand]:
    """Return the commands that the text of ``help`` or ``help info`` lists; the latter's names begin with ``info``."""
    found = []
    for entry in _entries(text.replace("\r", "").split("\n")):
        head = entry.partition(" -- ")[0]
        info = head.startswith("info ") and not head.startswith("info [")
        if match := _START.match(head.removeprefix("info ") if info else head):
            name, shape = match.group(1), match.group(3) or ""
            words = _WORD.findall(shape)
            if words[:1] == [name]:  # "closefd closefd name -- close a file descriptor"
                words = words[1:]
            found.append(HmpCommand(f"info {name}" if info else name, tuple(words)))
    return found


def _entries(lines: list[str]) -> Iterator[str]:
    """Yield each command's text up to its explanation; a head may go over lines that begin with ``[``."""
    head = ""
    for line in lines:
        if line.startswith("[") and head:
            head += f" {line}"
        elif line[:1].isalpha() or line.startswith("?"):
            head = line.replace("\n", " ")
        else:
            continue
        if " -- " in head:
            yield head
            head = ""


class Hmp:
    """Makes lines for *commands*."""

    def __init__(self, commands: list[HmpCommand], pool: Pool) -> None:
        self.commands = {command.name: command for command in commands}
        self._pool = pool

    def line(self, name: str, rng: Random) -> str:
        """Return a line of the command *name*, its arguments of the shape that ``help`` shows."""
        words = SHAPES[name](self._pool, rng) if name in SHAPES else " ".join(self._words(name, rng))
        return f"{name} {words}".rstrip()

    def malformed(self, line: str, rng: Random) -> str:
        """Return *line* with something wrong that a line editor still lets through."""
        words = line.split(" ")
        match int(rng.random() * 9):
            case 0:
                return " ".join(words[:-1]) if len(words) > 1 else words[0] + "x"
            case 1:
                return f"{line} {typable(pick(rng, ODD))} {number(rng)}"
            case 2:
                return f'{line} "unbalanced'
            case 3:
                return f"{words[0]} -{pick(rng, ('a', 'f', 'd', 'n', 'z', '-', '?'))} {' '.join(words[1:])}"
            case 4:
                return f"{words[0]} {expression(rng, 3)}"
            case 5:
                words[int(rng.random() * len(words))] = typable(pick(rng, ODD))
                return " ".join(words)
            case 6:
                return f"{words[0]}/{pick(rng, _FORMATS)} {' '.join(words[1:])}"
            case 7:
                return f'{words[0]} "{"".join(words[1:])}\\" \\x"'
            case _:
                return line[: int(rng.random() * len(line)) + 1]

    def _words(self, name: str, rng: Random) -> Iterator[str]:
        """Yield words for the shape of *name*; an optional group is there or not as a whole."""
        skipped = 0
        for word in self.commands[name].shape:
            if word == "[":
                skipped += 1 if skipped or rng.random() < 0.5 else 0
                continue
            if word == "]":
                skipped = max(0, skipped - 1)
            elif not skipped:
                yield self._word(word, rng)

    def _word(self, word: str, rng: Random) -> str:
        if word == "/fmt":
            count, form, size = pick(rng, ("", "1", "4", "64", "0", "255", "-1")), pick(rng, _FORMS), pick(rng, _SIZES)
            return f"/{count}{form}{size}"
        if word.startswith("-"):
            return word[:2]
        name = word.strip("<>,.*").partition("[")[0].partition(",")[0].lower()
        if name in _NUMBERS:
            return number(rng)
        if name == "expr":
            return expression(rng, 2)
        if name in _KINDS:
            return typable(self._pool.draw(_KINDS[name], rng))
        if "|" in name:
            return pick(rng, name.split("|"))
        return typable(self._pool.draw("device", rng)) if rng.random() < 0.5 else typable(pick(rng, ODD))


_NUMBERS = frozenset((
    "addr", "size", "index", "value", "begin", "length", "speed", "bps", "bps_rd", "bps_wr", "iops", "iops_rd",
    "iops_wr", "second", "cpu", "bank", "status", "mcgstatus", "misc", "state", "icount", "dx", "dy", "dz", "hold_ms",
    "dirty_rate", "cpu_index", "vcpu", "apic-id", "max", "queue", "head", "sample_pages_per_gb", "time", "port",
    "tls-port", "frequency", "bits", "channels", "tbl_id", "capture",
))  # fmt: skip
_FORMATS = ("", "-1", "99999999999", "xxxx", "0", "8", "i", "c")
_FORMS = ("x", "d", "u", "o", "c", "i")
_SIZES = ("", "b", "h", "w", "g")
_KINDS: dict[str, str] = {
    "device": "device", "device|all": "device", "id": "device", "filename": "file", "file": "file", "target": "file",
    "new-image-file": "file", "path": "path", "property": "property", "tag": "snapshot", "name": "device", "uri": "uri",
    "keys": "key", "driver": "driver", "netdev_id": "netdev", "base": "node", "subcommand": "type", "cmd": "type",
    "interfaces": "netdev", "type": "driver", "audiodev": "object", "names": "event", "bootdevice": "property",
}  # fmt: skip
