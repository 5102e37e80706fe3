"""Messages have ids of their own, and go out of band only where that was negotiated."""

from __future__ import annotations

import json
from random import Random

from qstress.fuzz.corpus import Item
from qstress.fuzz.hmp import Hmp, parse_help
from qstress.fuzz.messages import Messages, cut_message
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.state import STATE_QUERIES
from qstress.fuzz.pool import Pool
from tests.fuzz.samples import HELP, HELP_INFO, schema


def messages(seed: int = 0) -> Messages:
    return Messages(schema(), Hmp(parse_help(HELP) + parse_help(HELP_INFO), Pool()), Random(seed))


def test_a_command_is_one_short_line_that_its_reply_is_awaited_for() -> None:
    made = messages()
    send, item = made.qmp(Item("stop", {}))
    assert (send.data, send.ident, send.wait, item.command) == (
        b'{"execute":"stop","id":"q1"}\n',
        "q1",
        "reply",
        "stop",
    )
    assert json.loads(made.qmp(Item("qom-list", {"path": "/"}))[0].data)["arguments"] == {"path": "/"}
    assert made.plain("quit").ident == "r3"


def test_out_of_band_is_negotiated_first_and_kept_to_what_allows_it() -> None:
    made = messages()
    assert not any(b"exec-oob" in made.qmp(Item("query-yank", {}))[0].data for _ in range(20))
    while b"oob" not in made.capabilities().data:
        pass
    keys = {next(iter(json.loads(made.qmp(Item("query-yank", {}))[0].data))) for _ in range(50)}
    assert keys == {"execute", "exec-oob"}
    assert not any(b"exec-oob" in made.qmp(Item("stop", {}))[0].data for _ in range(20))


def test_a_line_is_called_by_its_command_as_help_has_it() -> None:
    names = [
        messages().line(Item(line, None, hmp=True))[0].command for line in ("info status -v", "cont", "bogus x", "")
    ]
    assert names == ["info status", "cont", "(malformed)", "(malformed)"]


def test_state_queries_bear_ids_that_tell_them() -> None:
    sends = [op for op, item in messages().state_queries() if isinstance(op, Send) and item is None]
    assert [send.command for send in sends] == [name for name, _ in STATE_QUERIES]
    assert all(send.is_state_query for send in sends)


def test_a_message_that_is_cut_waits_with_its_last_part() -> None:
    send, item = messages().qmp(Item("stop", {}))
    first, last = cut_message(send, item, (send.data[:5], send.data[5:]))
    assert first == (Send(To.QMP, send.data[:5], Await.NOTHING), None)
    assert last == (Send(To.QMP, send.data[5:], Await.REPLY, send.ident, "stop"), item)
