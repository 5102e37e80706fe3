"""A small QMP of our own, and the knowledge of a session about it, for the tests of the fuzzer."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from qstress.fuzz.corpus import Corpus
from qstress.fuzz.coverage import Coverage
from qstress.fuzz.exchange import Exchange
from qstress.fuzz.generator import Generator, GeneratorSettings, Knowledge
from qstress.fuzz.hmp import Hmp, parse_help
from qstress.fuzz.ops import Await, Footprint, MeasureFootprint, Open, Result, Send, To
from qstress.fuzz.pool import Pool
from qstress.fuzz.protocol import Reader
from qstress.fuzz.schema import Schema


def _member(name: str, kind: str, *, optional: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, **({"default": None} if optional else {})}


def _object(name: str, *members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "meta-type": "object", "members": list(members), **more}


def _command(name: str, arguments: str = "0", returns: str = "0", *, oob: bool = False) -> dict[str, Any]:
    made = {"name": name, "meta-type": "command", "arg-type": arguments, "ret-type": returns}
    return {**made, "allow-oob": True} if oob else made


ENTRIES: list[dict[str, Any]] = [
    {"name": "str", "meta-type": "builtin", "json-type": "string"},
    {"name": "int", "meta-type": "builtin", "json-type": "int"},
    {"name": "number", "meta-type": "builtin", "json-type": "number"},
    {"name": "bool", "meta-type": "builtin", "json-type": "boolean"},
    {"name": "null", "meta-type": "builtin", "json-type": "null"},
    {"name": "any", "meta-type": "builtin", "json-type": "value"},
    _object("0"),
    {"name": "1", "meta-type": "enum", "values": ["file", "raw"]},
    {"name": "[2]", "meta-type": "array", "element-type": "2"},
    _object(
        "2", _member("driver", "1"), _member("node-name", "str", optional=True), tag="driver",
        variants=[{"case": "file", "type": "3"}, {"case": "raw", "type": "4"}],
    ),
    _object("3", _member("filename", "str")),
    _object("4", _member("file", "5")),
    {"name": "5", "meta-type": "alternate", "members": [{"type": "2"}, {"type": "str"}]},
    _object("6", _member("running", "bool"), _member("status", "str")),
    _object("7", _member("command-line", "str"), _member("cpu-index", "int", optional=True)),
    _object("8", _member("path", "str"), _member("property", "str"), _member("value", "any")),
    _object(
        "9", _member("size", "int"), _member("ratio", "number", optional=True), _member("on", "bool", optional=True),
        _member("name", "str", optional=True), _member("gone", "null", optional=True),
    ),
    _object("10", _member("path", "str")),
    {"name": "[11]", "meta-type": "array", "element-type": "11"},
    _object("11", _member("name", "str"), _member("type", "str")),
    _object("12", _member("enable", "[str]", optional=True)),
    {"name": "[str]", "meta-type": "array", "element-type": "str"},
    _object("13", _member("nodes", "[2]")),
    _object("14", _member("typename", "str")),
    _command("query-status", returns="6"), _command("query-chardev", returns="any"), _command("quit"),
    _command("query-named-block-nodes", returns="any"), _command("query-hotpluggable-cpus", returns="any"),
    _command("query-yank", returns="any", oob=True), _command("stop"), _command("cont"),
    _command("system_reset"), _command("qmp_capabilities", "12"), _command("blockdev-add", "2"),
    _command("human-monitor-command", "7", "str"), _command("qom-set", "8"), _command("resize", "9", "any"),
    _command("qom-list", "10", "[11]"), _command("reopen", "13"), _command("device-list-properties", "14", "[11]"),
    _command("query-cpus-fast", returns="any"), _command("query-block", returns="any"),
    _command("query-pci", returns="any"),
    {"name": "STOP", "meta-type": "event", "arg-type": "0"},
    {"name": "RESET", "meta-type": "event", "arg-type": "6"},
]  # fmt: skip
HELP = """\
block_resize device size -- resize a block image\r
cont|c  -- resume emulation\r
closefd closefd name -- close a file descriptor\r
drive_add [-n] <slot>\r
[file=file][,if=type] -- add drive\r
\t\t\tmore words -- of help\r
print|p /fmt expr -- print expression value (use $reg for CPU register access)\r
set_link name on|off -- change the link status\r
system_reset  -- reset the system\r
x /fmt addr -- virtual memory dump starting at 'addr'\r
"""
HELP_INFO = "info registers [-a|vcpu] -- show the cpu registers\r\ninfo status  -- show the VM status\r\n"


def schema() -> Schema:
    """The sample as a schema."""
    return Schema(ENTRIES)


def knowledge(settings: GeneratorSettings | None = None) -> Knowledge:
    """What a session knows at its start."""
    made, pool = schema(), Pool()
    hmp = Hmp(parse_help(HELP) + parse_help(HELP_INFO), pool)
    return Knowledge(made, hmp, pool, Reader(made), Corpus(), Coverage(), settings or GeneratorSettings(commands=200))


def answer(send: Send, rng: Random) -> bytes | None:
    """What a QEMU that is fine could say to *send*: the same for the same state of *rng*."""
    if send.wait is Await.NOTHING:
        return None
    if send.to is To.HMP:
        return send.data.replace(b"\n", b"\r\n") + b"VM status: running\r\n(qemu) "
    ident = send.ident
    if rng.random() < 0.5 and not ident.startswith("s"):
        error = {"class": "GenericError", "desc": f"Device '{int(rng.random() * 9)}' not found"}
        return json.dumps({"id": ident, "error": error}).encode() + b"\r"
    return reply(ident, _returned(send.command)) + b"\r"


def reply(ident: str, value: Any) -> bytes:
    """A reply as QEMU prints it."""
    return json.dumps({"return": value, "id": ident}).encode()


def play(exchange: Exchange, rng: Random) -> tuple[Result, ...]:
    """Answer a whole exchange."""
    results: list[Result] = []
    for op in exchange.ops:
        match op:
            case Send():
                results.append(answer(op, rng))
            case Open():
                results.append(b'{"QMP": {"version": {}, "capabilities": []}}')
            case MeasureFootprint():
                results.append(Footprint(10, 1 << 20))
            case _:
                results.append(None)
    return tuple(results)


def transcript(made: Knowledge, seed: int, guest: int, rng: Random) -> list[tuple[Exchange, tuple[Result, ...]]]:
    """One guest's life: every exchange with what came of it."""
    generator = Generator(made, seed, guest)
    told = []
    while (exchange := generator.next()) is not None:
        results = play(exchange, rng)
        generator.feed(exchange, results)
        told.append((exchange, results))
    return told


def _returned(command: str) -> Any:
    return {
        "query-status": {"running": True, "status": "running"},
        "human-monitor-command": "VM status: running\r\n",
        "qom-list": [{"name": "o1", "type": "child<iothread>"}],
        "device-list-properties": [{"name": "mac", "type": "str"}],
        "query-named-block-nodes": [{"node-name": "n7"}],
        "query-chardev": [{"label": "c9"}],
    }.get(command, {})
