"""What ``help`` does not show of HMP's arguments: numbers, expressions, the option lists of some (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from qstress.fuzz.grammar import EDGES, SMALL
from qstress.fuzz.pool import ODD, Pool, pick

#: A control character would end the line or talk to readline; that is sent on purpose or not at all.
_UNTYPABLE = re.compile(r"[\x00-\x1f\x7f]")
_REGISTERS = ("$eax", "$eip", "$rip", "$cr0", "$cs", "$bogus", "$")


def typable(text: str) -> str:
    """Return *text* without control characters."""
    return _UNTYPABLE.sub("", text)


def number(rng: Random) -> str:
    """Return a number as HMP reads it, decimal or hexadecimal."""
    value = pick(rng, SMALL) if rng.random() < 0.6 else pick(rng, EDGES)
    return hex(value) if rng.random() < 0.3 else str(value)


def expression(rng: Random, depth: int) -> str:
    """Return an arithmetic expression as HMP reads it (QEMU: monitor/hmp.c, ``expr_sum`` and below)."""
    if depth == 0 or rng.random() < 0.4:
        return pick(rng, _REGISTERS) if rng.random() < 0.1 else number(rng)
    operator = pick(rng, ("+", "-", "*", "/", "%", "&", "|", "^"))
    text = f"{expression(rng, depth - 1)}{operator}{expression(rng, depth - 1)}"
    return f"({text})" if rng.random() < 0.5 else text


def _options(pool: Pool, rng: Random) -> str:
    """Return a few ``,name=value``."""
    count = int(rng.random() * 3)
    return "".join(f",{typable(pool.draw('property', rng))}={typable(pick(rng, ODD))}" for _ in range(count))


def _device_add(pool: Pool, rng: Random) -> str:
    driver = pool.draw("driver", rng)
    text = f"{driver},id={pool.draw('device', rng)}" if rng.random() < 0.7 else driver
    for _ in range(int(rng.random() * 3)):
        known = pool.properties.get(driver)
        name = pick(rng, known)[0] if known else pool.draw("property", rng)
        text += f",{name}={number(rng) if rng.random() < 0.5 else pool.draw('object', rng)}"
    return typable(text)


def _typed(kind: str, types: tuple[str, ...]) -> Callable[[Pool, Random], str]:
    """Return a maker of ``type,id=NAME,…``."""
    return lambda pool, rng: f"{pick(rng, types)},id={typable(pool.draw(kind, rng))}{_options(pool, rng)}"


def _chardev(pool: Pool, rng: Random) -> str:
    return f"{pick(rng, _CHARDEVS)},id={typable(pool.draw('chardev', rng))}"


def _drive_add(pool: Pool, rng: Random) -> str:
    return f"{pick(rng, ('0', '', 'pci.0:1', '0:0:0'))} if=none,file={pick(rng, _FILES)}{pick(rng, _FILE_OPTIONS)}"


def _qemu_io(pool: Pool, rng: Random) -> str:
    more = number(rng) if rng.random() < 0.3 else ""
    return f'{typable(pool.draw("node", rng))} "{pick(rng, _QEMU_IO)} {more}"'


def _one_of(*texts: str) -> Callable[[Pool, Random], str]:
    return lambda pool, rng: pick(rng, texts)


_NETDEVS = ("user", "hubport,hubid=0", "socket,listen=:0", "tap", "bridge", "vde", "stream", "l2tpv3")
_OBJECTS = (
    "iothread", "memory-backend-ram,size=1M", "memory-backend-ram,size=0", "secret,data=x", "rng-builtin", "can-bus",
    "throttle-group", "authz-list", "memory-backend-file,size=1M,mem-path=f3", "colo-compare",
    "filter-buffer,netdev=net0,interval=1", "cryptodev-backend-builtin",
)  # fmt: skip
_CHARDEVS = (
    "null", "ringbuf,size=4096", "ringbuf,size=3", "file,path=f4", "pty", "pipe,path=no", "udp,port=1", "vc", "stdio",
    "socket,path=u1,server=on,wait=off", "socket,host=127.0.0.1,port=0,server=on,wait=off", "socket,path=u2", "mux",
    "serial,path=/dev/tty", "testdev", "msmouse",
)  # fmt: skip
_FILES = ("null-co://", "f0", "fat:.", "nbd:unix:u0", "blkdebug::null-co://", "json:{}", "", "null-aio://")
_FILE_OPTIONS = ("", ",format=raw", ",if=virtio", ",readonly=on", ",cache=none", ",snapshot=on", ",id=d0", ",id=d1")
_QEMU_IO = (
    "read 0 512", "write -P 1 0 4k", "aio_read 0 64k", "flush", "length", "map", "info", "discard 0 1M", "read -1 512",
    "write 0 -1", "break pwritev a", "help", "reopen -o x=y", "truncate 1G", "abort_", "wait_break a", "remove_break a",
    "writev 0 512 512 1", "zone_report 0 1",
)  # fmt: skip
_CAPABILITIES = (
    "xbzrle", "rdma-pin-all", "auto-converge", "events", "postcopy-ram", "x-colo", "multifd", "dirty-bitmaps",
    "return-path", "pause-before-switchover", "background-snapshot", "validate-uuid", "x-ignore-shared",
    "zero-copy-send", "switchover-ack", "dirty-limit", "mapped-ram",
)  # fmt: skip
_PARAMETERS = (
    "compress-level", "max-bandwidth", "downtime-limit", "multifd-channels", "xbzrle-cache-size", "tls-creds", "bogus",
    "throttle-trigger-threshold", "cpu-throttle-initial", "max-cpu-throttle", "announce-rounds", "block-incremental",
    "x-checkpoint-delay", "decompress-threads",
)  # fmt: skip

#: What follows the name of a command, where its help says less than is needed to be carried out.
SHAPES: dict[str, Callable[[Pool, Random], str]] = {
    "device_add": _device_add,
    "netdev_add": _typed("netdev", _NETDEVS),
    "object_add": _typed("object", _OBJECTS),
    "chardev-add": _chardev,
    "chardev-change": lambda pool, rng: f"{typable(pool.draw('chardev', rng))} {_chardev(pool, rng)}",
    "drive_add": _drive_add,
    "qemu-io": _qemu_io,
    "gdbserver": _one_of("none", "tcp::0", "file:f5", "null", "unix:u3,server=on,wait=off", "", "bogus"),
    "log": _one_of("none", "guest_errors", "unimp", "int", "help", "cpu_reset,page", "mmu", "x,y"),
    "trace-event": lambda pool, rng: f"{typable(pool.draw('event', rng))} {pick(rng, ('on', 'off', 'x'))}",
    "hostfwd_add": _one_of("net0 tcp::0-:22", "net0 udp::1-:1", "net0 tcp:1.2.3.4:99999-:0", "net0 ::-", "net0"),
    "nbd_server_start": _one_of("127.0.0.1:0", "-a 127.0.0.1:0", "unix:u4", "-w x:y", ":", "localhost:http"),
    "migrate": lambda pool, rng: f"{pick(rng, ('-d', '-d -b', '-r', '-d -i'))} {typable(pool.draw('uri', rng))}",
    "migrate_set_capability": lambda pool, rng: f"{pick(rng, _CAPABILITIES)} {pick(rng, ('on', 'off', 'x'))}",
    "migrate_set_parameter": lambda pool, rng: f"{pick(rng, _PARAMETERS)} {number(rng)}",
    "print": lambda pool, rng: expression(rng, 3),
}
