"""What a command is called, and whether it changes anything."""

from __future__ import annotations

import pytest

from qstress.fuzz.commands import command_label, command_name, only_reads
from qstress.fuzz.ops import Send, To


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (Send(To.HMP, b"info block -v\n", command="info block"), "hmp info block"),
        (Send(To.QMP, b'{"arguments": {"driver": "nvme"}}', command="device_add"), "device_add nvme"),
        (Send(To.QMP, b'{"arguments": {"command-line": "info block d0"}}', command="human-monitor-command"),
         "hmp info block"),
        (Send(To.QMP, b'{"arguments": {"command-line": "sum 0 1"}}', command="human-monitor-command"), "hmp sum"),
        (Send(To.QMP, b'{"execute": "stop"}', command="stop"), "stop"),
        (Send(To.QMP, b"\xff", command=""), "corrupt bytes"),
    ],
)  # fmt: skip
def test_what_a_command_was_about(send: Send, words: str) -> None:
    assert command_label(send) == words


def test_a_stall_is_at_a_command_whatever_it_was_about() -> None:
    plug = Send(To.QMP, b'{"execute": "device_add", "arguments": {"driver": "nvme"}}', command="device_add")
    assert (command_name(plug), command_label(plug)) == ("device_add", "device_add nvme")
    line = b'{"execute": "human-monitor-command", "arguments": {"command-line": "savevm x"}}'
    assert command_name(Send(To.QMP, line, command="human-monitor-command")) == "hmp savevm"


def test_commands_that_only_read() -> None:
    assert all(map(only_reads, ("query-status", "x-query-irq", "qom-get", "qom-list-types", "info block", "help")))
    assert not any(map(only_reads, ("stop", "qom-set", "blockdev-add", "information")))
