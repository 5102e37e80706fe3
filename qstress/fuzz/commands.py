"""What a command is: its name in titles, and whether it is documented to change nothing (pure)."""

from __future__ import annotations

import re

from qstress.fuzz.ops import Send, To

_READERS = ("query-", "x-query-", "qom-list", "qom-get", "device-list-properties", "trace-event-get-state", "info ",
            "help")  # fmt: skip
#: The member of a command's arguments that says what it is about.
_OBJECT_MEMBER = {
    "human-monitor-command": "command-line", "device_add": "driver", "object-add": "qom-type", "blockdev-add": "driver",
    "netdev_add": "type", "qom-set": "property", "qom-get": "property", "chardev-add": "type",
    "device-list-properties": "typename",
}  # fmt: skip


def only_reads(command: str) -> bool:
    """Whether *command* (``info …`` for HMP) is documented to change nothing."""
    return command.startswith(_READERS)


def command_label(send: Send) -> str:
    """Return a command with what it is about, in a word or two: ``device_add nvme``, ``hmp info block``."""
    if send.to is To.HMP:
        return f"hmp {send.command}"
    if member := _OBJECT_MEMBER.get(send.command):
        found = re.search(rf'"{member}": ?"([^"]{{1,60}})"', send.data.decode(errors="replace"))
        if found and send.command == "human-monitor-command":
            words = found.group(1).split()
            return f"hmp {' '.join(words[: 2 if words[:1] == ['info'] else 1])}"
        if found:
            return f"{send.command} {found.group(1)}"
    return send.command or "corrupt bytes"


def command_name(send: Send) -> str:
    """Return a command without what it is about, which does not tell two stalls or leaks apart."""
    return send.command if send.to is To.QMP and send.command != "human-monitor-command" else command_label(send)
