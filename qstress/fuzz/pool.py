"""Names that commands can refer to: learned from what QEMU replies, a few of our own, and odd ones (pure).

A kind is what a name stands for (a block node, a QOM path, …). Each kind keeps its latest names; names that were
deleted stay, since a stale name is worth sending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

#: What the session's own chardevs are called: a ``yank`` of one would hang up on us.
OURS = "qstress-"
#: How many names of a kind are kept, the latest ones.
KEPT = 256
#: Where a reply's member holds a name of a kind, whatever command it answers.
_LEARNED: dict[str, str] = {
    "node-name": "node", "device": "device", "qdev": "path", "qom-path": "path", "label": "chardev", "job-id": "job",
    "driver": "driver", "typename": "type", "fdname": "fd", "iothread": "object", "bus": "bus",
}  # fmt: skip
#: Which kind the member ``id``, ``name`` or ``label`` of a reply (and of an accepted command) holds.
_BY_COMMAND: dict[str, str] = {
    "query-chardev": "chardev", "chardev-add": "chardev", "object-add": "object", "query-memdev": "object",
    "query-iothreads": "object", "device_add": "device", "netdev_add": "netdev", "query-jobs": "job",
    "query-block-exports": "export", "block-export-add": "export", "nbd-server-add": "export",
    "block-dirty-bitmap-add": "bitmap", "trace-event-get-state": "event", "qom-list-types": "type",
    "snapshot-save": "snapshot", "query-rx-filter": "netdev",
}  # fmt: skip
#: What exists from the start, or is free for commands that create something.
_OWN: dict[str, tuple[str, ...]] = {
    "node": ("n0", "n1", "n2", "n3"),
    "device": ("d0", "d1", "d2", "d3"),
    "object": ("o0", "o1", "o2", "o3"),
    "chardev": ("c0", "c1", "c2"),
    "netdev": ("net0", "net1", "net2"),
    "job": ("j0", "j1", "j2"),
    "export": ("e0", "e1"),
    "bitmap": ("b0", "b1"),
    "snapshot": ("s0", "s1"),
    "fd": ("fd0", "fd1"),
    "bus": ("pci.0", "main-system-bus", "isa.0"),
    "path": ("/", "/machine", "/machine/unattached", "/machine/peripheral", "/objects", "/chardevs", "/backend"),
    "type": ("device", "object", "cpu", "accel", "machine", "netfilter", "secret"),
    "driver": ("virtio-blk-pci", "virtio-net-pci", "virtio-scsi-pci", "ide-hd", "scsi-hd", "qemu-xhci", "usb-tablet",
               "e1000", "pc-dimm", "qemu64-x86_64-cpu", "virtio-balloon-pci", "isa-serial", "VGA", "nvme", "intel-hda"),
    "property": ("type", "realized", "hotplugged", "parent_bus", "legacy-i8042", "rtc-time"),
    "event": ("monitor_*", "qmp_*", "*", "memory_region_ops_read"),
    "file": ("f0", "f1", "f2", "f3", "f4", "no/such/file", ".", "/proc/self/maps", "/nonexistent"),
    "uri": ("exec:cat > f0", "exec:true", "unix:u0", "tcp:127.0.0.1:0", "tcp:[::1]:1", "fd:fd0", "file:f1", "defer",
            "rdma:127.0.0.1:1", "tcp:localhost:99999", "exec:", "unix:", ""),
    "key": ("ctrl-alt-f1", "a", "ret", "0x1c", "shift-a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p", "unmapped"),
}  # fmt: skip
#: Texts that parsers of options, numbers, formats and file names stumble over.
ODD: tuple[str, ...] = (
    "", " ", "a" * 64, "b" * 255, "c" * 256, "d" * 1025, "%s%n%x%p", "../../../../f0", "a,b=c", "a=b,,c", ",", "=",
    "on", "off", "0", "-1", "0x10", "18446744073709551616", "-9223372036854775809", "1e999", "nan", "1k", "1T", "é",
    "\U0001f600", "\u0001\u001b[2J", "/", "//", ".", "a b", "'", '"', "\\", "{}", "[]", "json:{}",
    'json:{"driver":"null-co"}', "fat:rw:.", "nbd:unix:u0", "driver=raw", "#block123", "@", "*", "?", "help",
    "id", "none", "\n",
)  # fmt: skip


def pick(rng: Random, options: tuple[T, ...] | list[T]) -> T:
    """Return one of *options* (a third of the time that ``rng.choice`` takes)."""
    return options[int(rng.random() * len(options))]


class Weighted:
    """Names that are drawn as often as their weights say."""

    def __init__(self, names: Iterable[str], weights: Iterable[float]) -> None:
        self.names, self._sums = tuple(names), list(accumulate(weights))

    def draw(self, rng: Random) -> str:
        """Return one of the names."""
        return rng.choices(self.names, cum_weights=self._sums)[0]


class Pool:
    """The names known so far, by kind, and the properties of types and paths."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {kind: list(names) for kind, names in _OWN.items()}
        self._known = {kind: set(names) for kind, names in _OWN.items()}
        #: names that got the blame for a crash or a stall: drawn less, so that others are met
        self.avoided: set[str] = set()
        #: (name, QOM type) of the properties of a driver, type or path.
        self.properties: dict[str, list[tuple[str, str]]] = {}

    def draw(self, kind: str, rng: Random) -> str:
        """Return a name: mostly of *kind*, now and then of another kind or an odd one."""
        odds = rng.random()
        if odds < 0.85 and (names := self.names.get(kind)):
            name = pick(rng, names)
            return pick(rng, names) if name in self.avoided else name
        return pick(rng, self.names[pick(rng, _KINDS)]) if odds < 0.93 else pick(rng, ODD)

    def add(self, kind: str, name: object) -> None:
        """Take in *name*; what is no reasonable name is ignored, and so is what belongs to the session itself."""
        if not isinstance(name, str) or not 0 < len(name) < 200 or OURS in name:
            return
        known, names = self._known.setdefault(kind, set()), self.names.setdefault(kind, [])
        if name not in known:
            known.add(name)
            names.append(name)
            if len(names) > KEPT:
                known.discard(names.pop(0))

    def learn(self, command: str, arguments: Mapping[str, Any], returned: object) -> None:
        """Take in the names that an accepted *command* made, and those that its reply shows."""
        kind = _BY_COMMAND.get(command)
        if kind:
            self.add(kind, arguments.get("id") or arguments.get("name") or arguments.get("tag"))
        if command == "blockdev-add":
            self.add("node", arguments.get("node-name"))
        if command in ("qom-list", "device-list-properties", "qom-list-properties"):
            self._learn_properties(arguments, returned)
        elif command == "qom-list-types" and arguments.get("implements") == "device":
            for entry in returned if isinstance(returned, list) else ():
                if isinstance(entry, dict) and not entry.get("abstract"):
                    self.add("driver", entry.get("name"))
        else:
            self._harvest(returned, kind, 0)

    def _learn_properties(self, arguments: Mapping[str, Any], returned: object) -> None:
        owner = arguments.get("path") or arguments.get("typename")
        if not isinstance(owner, str) or not isinstance(returned, list):
            return
        entries = [(str(e.get("name")), str(e.get("type"))) for e in returned if isinstance(e, dict)]
        for name, type_name in entries:
            if type_name.startswith(("child<", "link<")) and "path" in arguments:
                self.add("path", f"{owner.rstrip('/')}/{name}")
        self.properties[owner] = [entry for entry in entries if not entry[1].startswith("child<")]
        while len(self.properties) > KEPT:
            del self.properties[next(iter(self.properties))]

    def _harvest(self, value: object, kind: str | None, depth: int) -> None:
        if depth > 6:
            return
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, str):
                    if learned := _LEARNED.get(key):
                        self.add(learned, item)
                    elif kind and key in ("id", "name"):
                        self.add(kind, item)
                else:
                    self._harvest(item, kind, depth + 1)
        elif isinstance(value, list):
            for item in value[:KEPT]:
                self._harvest(item, kind, depth + 1)


_KINDS = tuple(_OWN)
