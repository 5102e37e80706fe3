"""Messages to the monitors of one guest: each QMP command with an id of its own, HMP lines, state queries (pure)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from qstress.fuzz.corpus import Item
from qstress.fuzz.hmp import Hmp
from qstress.fuzz.ops import Await, Op, Send, To
from qstress.fuzz.oracles.state import STATE_QUERIES
from qstress.fuzz.pool import pick
from qstress.fuzz.schema import Schema

#: An op, and what it stands for in a corpus (None: nothing that would be kept).
Draft = tuple[Op, Item | None]
_CAPABILITIES = ('{"enable": ["oob"]}', '{"enable": ["oob"]}', "{}", '{"enable": []}')


class Messages:
    """Ids are ``q…``, ``r…`` for what the session needs itself, ``s…`` for state queries; no two are equal."""

    def __init__(self, schema: Schema, hmp: Hmp, rng: Random) -> None:
        self._schema, self._hmp, self._rng = schema, hmp, rng
        self._number = 0
        self._oob = False

    def ident(self, kind: str = "q") -> str:
        """Return the next id."""
        self._number += 1
        return f"{kind}{self._number}"

    def qmp(self, item: Item) -> tuple[Send, Item]:
        """Return a command, now and then out of band where that was negotiated and it may be."""
        ident = self.ident()
        command = self._schema.commands.get(item.command)  # None: this QEMU lacks it, which it will say
        may_oob = self._oob and command is not None and command.oob
        key = "exec-oob" if may_oob and self._rng.random() < 0.5 else "execute"
        return _command(item.command, item.arguments, ident, key), item

    def line(self, item: Item) -> tuple[Send, Item]:
        """Return a line for HMP."""
        words, known = item.command.split() or [""], self._hmp.commands
        name = " ".join(words[:2]) if words[0] == "info" else words[0]
        name = name if name in known else words[0] if words[0] in known else "(malformed)"
        return Send(To.HMP, item.command.encode(errors="replace") + b"\n", Await.PROMPT, "", name), item

    def plain(self, command: str) -> Send:
        """Return a command without arguments that the session itself needs."""
        return _command(command, {}, self.ident("r"))

    def capabilities(self) -> Send:
        """Return the negotiation that a connection begins with, with out-of-band commands or without."""
        text, ident = pick(self._rng, _CAPABILITIES), self.ident("r")
        self._oob = "oob" in text
        data = f'{{"execute": "qmp_capabilities", "arguments": {text}, "id": "{ident}"}}\n'.encode()
        return Send(To.QMP, data, Await.REPLY, ident, "qmp_capabilities")

    def state_queries(self) -> list[Draft]:
        """Return the queries for :class:`qstress.fuzz.oracles.state.StateOracle`."""
        return [(_command(command, arguments, self.ident("s")), None) for command, arguments in STATE_QUERIES]


def cut_message(message: Send, item: Item | None, parts: Sequence[bytes]) -> list[Draft]:
    """Return *message* as several sends, of which the last one waits for the reply."""
    first: list[Draft] = [(Send(To.QMP, part, Await.NOTHING), None) for part in parts[:-1]]
    return [*first, (Send(To.QMP, parts[-1], Await.REPLY, message.ident, message.command), item)]


def _command(command: str, arguments: Any, ident: str, key: str = "execute") -> Send:
    """Return one QMP command, as short as can be: QEMU reads its monitors byte by byte (``monitor_can_read``)."""
    message = {key: command, "arguments": arguments, "id": ident} if arguments != {} else {key: command, "id": ident}
    data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    return Send(To.QMP, data, Await.REPLY, ident, command)
