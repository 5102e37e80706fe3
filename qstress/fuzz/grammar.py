"""QMP commands out of QEMU's own schema, right ones and wrong ones (pure; about 10 us a command).

What a member means (a block node, a file, a QOM path) is in its name, so that a command has a chance to be carried out
and not only to be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from qstress.fuzz.pool import ODD, Pool, pick
from qstress.fuzz.schema import Alternate, Array, Builtin, Enum, Object, Schema

#: Makes a value for the member of this name, at this depth.
Maker = Callable[[str, int], Any]

_EDGES = tuple(sorted({sign * ((1 << bits) + off) for bits in (7, 8, 15, 16, 31, 32, 53, 62, 63) for off in (-1, 0, 1)
                       for sign in (1, -1)}))  # fmt: skip
SMALL = (0, 1, 2, 3, 4, 8, 16, 100, 512, 4096, 65536, 1 << 20)
#: Beyond 64 bits on both sides, and the ends of int64 and uint64.
EDGES = (*(edge for edge in _EDGES if edge >= -(1 << 63)), (1 << 64) - 1, 1 << 64, -(1 << 63) - 1)
_NUMBERS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-300, 1e300, 1.7976931348623157e308)
_KIND: dict[str, str] = {
    "node-name": "node", "node": "node", "filter-node-name": "node", "base-node": "node", "top-node": "node",
    "overlay": "node", "image-node-name": "node", "bottom": "node", "base": "node", "top": "node", "replaces": "node",
    "snapshot-node-name": "node", "parent": "node", "child": "node", "vmstate": "node", "data-file": "node",
    "devices": "node", "backing": "node", "image": "node", "file": "node", "device": "device", "job-id": "job",
    "bitmap": "bitmap", "filename": "file", "snapshot-file": "file", "backing-file": "file", "logfile": "file",
    "mem-path": "file", "in": "file", "out": "file", "dir": "file", "uri": "uri", "property": "property",
    "typename": "type", "implements": "type", "qom-type": "type", "driver": "driver", "bus": "bus", "netdev": "netdev",
    "chardev": "chardev", "iothread": "object", "memdev": "object", "tls-creds": "object", "secret": "object",
    "key-secret": "object", "password-secret": "object", "throttle-group": "object", "group": "object",
    "tag": "snapshot", "snapshot": "snapshot", "fdname": "fd", "fd": "fd", "keys": "key", "outdev": "chardev",
    "indev": "chardev", "qom-path": "path", "export": "export", "instances": "path", "interface": "netdev",
}  # fmt: skip
_ID_OF: dict[str, str] = {
    "object-add": "object", "object-del": "object", "device_add": "device", "device_del": "device",
    "netdev_add": "netdev", "netdev_del": "netdev", "chardev-add": "chardev", "chardev-remove": "chardev",
    "chardev-change": "chardev", "chardev-send-break": "chardev", "block-export-add": "export",
    "block-export-del": "export", "job-pause": "job", "job-resume": "job", "job-cancel": "job", "job-complete": "job",
    "job-dismiss": "job", "job-finalize": "job", "yank": "chardev",
}  # fmt: skip
_NAME_OF: dict[str, str] = {
    "set_link": "netdev", "query-rx-filter": "netdev", "trace-event-get-state": "event", "getfd": "fd", "closefd": "fd",
    "trace-event-set-state": "event", "nbd-server-remove": "export", "nbd-server-add": "export",
}  # fmt: skip


class Grammar:
    """Makes arguments for the commands of *schema*.

    :param hmp_line: makes the line of a ``human-monitor-command``.
    :param depth: objects nested deeper get nothing but what they must have.
    """

    def __init__(self, schema: Schema, pool: Pool, hmp_line: Callable[[Random], str], *, depth: int = 5) -> None:
        self._schema = schema
        self._pool = pool
        self._hmp_line = hmp_line
        self._depth = depth
        self._maker = cache(self._new_maker)
        self._object_maker = cache(self._new_object_maker)
        self._random = Random()
        self._command = ""

    def arguments(self, command: str, rng: Random) -> dict[str, Any]:
        """Return arguments for *command* that fit its schema."""
        self._random, self._command = rng, command
        made = self._object_maker(self._schema.commands[command].arguments)(0)
        if special := _SPECIAL.get(command):
            special(self, made)
        return made

    def spoiled(self, arguments: dict[str, Any], rng: Random) -> Any:
        """Return *arguments* with one thing wrong: a member missing, unexpected or of a wrong type, or no object."""
        self._random = rng
        odds = rng.random()
        if odds < 0.04:
            return self.anything(1)
        made = dict(arguments)
        if odds < 0.3 and made:
            del made[pick(rng, list(made))]
        elif odds < 0.45 or not made:
            made[pick(rng, ("bogus", "id", "", "driver", "é"))] = self.anything(1)
        else:
            key = pick(rng, list(made))
            inner = made[key]
            deeper = isinstance(inner, dict) and inner and rng.random() < 0.7
            made[key] = self.spoiled(inner, rng) if deeper else self.anything(1)
        return made

    def anything(self, depth: int) -> Any:
        """Return some JSON value."""
        rng = self._random
        match int(rng.random() * (7 if depth < self._depth else 5)):
            case 0:
                return self.integer()
            case 1:
                return self.text("")
            case 2:
                return rng.random() < 0.5
            case 3:
                return None
            case 4:
                return pick(rng, _NUMBERS)
            case 5:
                return [self.anything(depth + 1) for _ in range(int(rng.random() * 4))]
            case _:
                return {self.text("id")[:50]: self.anything(depth + 1) for _ in range(int(rng.random() * 3))}

    def integer(self) -> int:
        """Return a whole number, small as a rule, now and then at an edge."""
        rng = self._random
        return pick(rng, SMALL) if rng.random() < 0.7 else pick(rng, EDGES)

    def text(self, member: str) -> str:
        """Return a text for the member called *member*."""
        rng, command = self._random, self._command
        if command == "human-monitor-command":
            return self._hmp_line(rng)
        if member == "id":
            kind = _ID_OF.get(command, "device")
        elif member == "name":
            kind = _NAME_OF.get(command, "bitmap" if "bitmap" in command or command == "transaction" else "device")
        elif member == "path":
            kind = "path" if command.startswith(("qom-", "x-query-virtio")) else "file"
        elif member == "target" and command.startswith("drive-"):
            kind = "file"
        else:
            kind = _KIND.get(member, "")
        if kind:
            return self._pool.draw(kind, rng)
        return pick(rng, ODD) if rng.random() < 0.7 else self._pool.draw("object", rng)

    def property_of(self, owner: str) -> tuple[str, str]:
        """Return name and QOM type of a property of a driver or path; odd ones where none was learned."""
        rng = self._random
        known = self._pool.properties.get(owner)
        return pick(rng, known) if known else (self._pool.draw("property", rng), "")

    def property_value(self, qom_type: str) -> Any:
        """Return a value for a property of *qom_type*, one that fits it as a rule."""
        rng = self._random
        if rng.random() < 0.15:
            return self.anything(2)
        if qom_type == "bool":
            return rng.random() < 0.5
        if qom_type.startswith(("uint", "int", "size")):
            return self.integer()
        if qom_type.startswith("link<"):
            return self._pool.draw("path", rng)
        if qom_type in _BY_TYPE:
            return self._pool.draw(_BY_TYPE[qom_type], rng)
        return pick(rng, ("on", "off", "auto", "0", "1")) if rng.random() < 0.5 else self.text("")

    def _new_maker(self, type_name: str) -> Maker:
        kind = self._schema.types[type_name]
        match kind:
            case Builtin():
                return self._builtin_maker(kind.json_type)
            case Enum():
                return lambda member, depth: pick(self._random, kind.values)
            case Array():
                return lambda member, depth: self._array(kind.element, member, depth)
            case Alternate():
                scalar = [t for t in kind.types if isinstance(self._schema.types[t], Builtin)]
                return lambda member, depth: self._alternate(kind.types, scalar, member, depth)
            case Object():
                return lambda member, depth: self._object_maker(type_name)(depth + 1)

    def _builtin_maker(self, json_type: str) -> Maker:
        return {
            "string": lambda member, depth: self.text(member),
            "int": lambda member, depth: self.integer(),
            "number": lambda member, depth: pick(self._random, _NUMBERS),
            "boolean": lambda member, depth: self._random.random() < 0.5,
            "null": lambda member, depth: None,
        }.get(json_type, lambda member, depth: self.anything(depth))

    def _array(self, element: str, member: str, depth: int) -> list[Any]:
        rng = self._random
        count = int(rng.random() * 4) if depth < self._depth else 0
        if count == 3 and rng.random() < 0.03:
            count = 64
        make = self._maker(element)
        return [make(member, depth + 1) for _ in range(count)]

    def _alternate(self, types: tuple[str, ...], scalar: list[str], member: str, depth: int) -> Any:
        simple = scalar and (depth >= self._depth or self._random.random() < 0.6)
        return self._maker(pick(self._random, scalar if simple else types))(member, depth)

    def _new_object_maker(self, type_name: str) -> Callable[[int], dict[str, Any]]:
        kind = self._schema.object(type_name)
        must = [member for member in kind.members if not member.optional]
        may = [member for member in kind.members if member.optional]
        tag, variants, cap = kind.tag, kind.variants, self._depth

        def make(depth: int) -> dict[str, Any]:
            made = {member.name: self._maker(member.type)(member.name, depth) for member in must}
            if may and depth <= cap:
                share = 0.3 / (1 + depth)
                draw = self._random.random
                for member in may:
                    if draw() < share:
                        made[member.name] = self._maker(member.type)(member.name, depth)
            if tag is not None and (variant := variants.get(made.get(tag, ""))):
                made.update(self._object_maker(variant)(depth))
            return made

        return make


def _device(grammar: Grammar, made: dict[str, Any]) -> None:
    """``device_add`` takes the driver's properties beside what its schema says."""
    for _ in range(int(grammar._random.random() * 4)):
        name, qom_type = grammar.property_of(made["driver"])
        made[name] = grammar.property_value(qom_type)


def _property(grammar: Grammar, made: dict[str, Any]) -> None:
    made["property"], qom_type = grammar.property_of(made["path"])
    if "value" in made:
        made["value"] = grammar.property_value(qom_type)


_BY_TYPE = {"drive": "node", "netdev": "netdev", "chr": "chardev", "str": "object", "string": "object"}
_SPECIAL: dict[str, Callable[[Grammar, dict[str, Any]], None]] = {
    "device_add": _device,
    "qom-set": _property,
    "qom-get": _property,
    "device-list-properties": lambda grammar, made: made.update(typename=grammar._pool.draw("driver", grammar._random)),
}
