"""Scenarios that random commands would seldom reach: plug and unplug, migrate, take a snapshot (pure).

Each is a list of commands and of events to wait for; names come from the pool, so that later commands meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from qstress.fuzz.corpus import Item
from qstress.fuzz.ops import WaitEvent
from qstress.fuzz.pool import Pool, pick

Step = Item | WaitEvent
#: How long an event that should come is waited for.
EVENT_S = 0.5


def draw_scenario(pool: Pool, rng: Random) -> list[Step]:
    """Return one of the scenarios."""
    return pick(rng, _SCENARIOS)(pool, rng)


def qcow2_disk(name: str) -> list[Step]:
    """Make a qcow2 image out of nothing but QMP, and plug it in: what ``savevm`` needs."""
    options = {"driver": "qcow2", "file": f"{name}-file", "size": 1 << 20}
    return [
        _do("blockdev-create", **{"job-id": "make0", "options": {"driver": "file", "filename": name, "size": 0}}),
        WaitEvent("JOB_STATUS_CHANGE", EVENT_S),
        _do("job-dismiss", id="make0"),
        _do("blockdev-add", **{"driver": "file", "node-name": f"{name}-file", "filename": name}),
        _do("blockdev-create", **{"job-id": "make1", "options": options}),
        WaitEvent("JOB_STATUS_CHANGE", EVENT_S),
        _do("job-dismiss", id="make1"),
        _do("blockdev-add", **{"driver": "qcow2", "node-name": name, "file": f"{name}-file"}),
        _do("device_add", driver="virtio-blk-pci", id=f"{name}-disk", drive=name),
    ]


def _do(command: str, **arguments: Any) -> Item:
    return Item(command, arguments)


def _stop_cont(pool: Pool, rng: Random) -> list[Step]:
    return [_do("stop"), _do(pick(rng, ("query-status", "query-cpus-fast", "system_reset", "inject-nmi"))), _do("cont")]


def _reset(pool: Pool, rng: Random) -> list[Step]:
    return [_do("system_reset"), WaitEvent("RESET", EVENT_S), _do("query-status")]


def _cpu(pool: Pool, rng: Random) -> list[Step]:
    core = int(rng.random() * 5)
    socket, core = pick(rng, ((0, core), (core, 0)))
    plug = _do("device_add", **{"driver": "qemu64-x86_64-cpu", "id": f"cpu{core}{socket}", "socket-id": socket,
                                "core-id": core, "thread-id": 0})  # fmt: skip
    steps: list[Step] = [plug, _do("query-hotpluggable-cpus"), _do("device_del", id=f"cpu{core}{socket}")]
    return steps[: 1 + int(rng.random() * 3)]


def _disk(pool: Pool, rng: Random) -> list[Step]:
    node, device = pool.draw("node", rng), pool.draw("device", rng)
    driver = pick(rng, ("virtio-blk-pci", "scsi-hd", "ide-hd", "usb-storage", "nvme", "virtio-blk-device", "floppy"))
    return [
        _do("blockdev-add", **{"driver": pick(rng, ("null-co", "null-aio")), "node-name": node, "read-zeroes": True}),
        _do("device_add", driver=driver, id=device, drive=node),
        _do(pick(rng, ("query-block", "system_reset", "query-blockstats"))),
        _do("device_del", id=device),
        WaitEvent("DEVICE_DELETED", EVENT_S / 10),
        _do("blockdev-del", **{"node-name": node}),
    ]


def _hub(pool: Pool, rng: Random) -> list[Step]:
    netdev, device = pool.draw("netdev", rng), pool.draw("device", rng)
    driver = pick(rng, ("virtio-net-pci", "e1000", "rtl8139", "vmxnet3", "ne2k_pci", "usb-net"))
    return [
        _do("netdev_add", type=pick(rng, ("hubport", "user")), id=netdev, **pick(rng, ({}, {"hubid": 0}))),
        _do("device_add", driver=driver, id=device, netdev=netdev),
        _do("set_link", name=netdev, up=rng.random() < 0.5),
        _do("netdev_del", id=netdev),
        _do("device_del", id=device),
    ]


def _migrate(pool: Pool, rng: Random) -> list[Step]:
    return [
        _do("migrate", uri=pool.draw("uri", rng) if rng.random() < 0.5 else "file:f0"),
        _do("query-migrate"),
        _do(pick(rng, ("migrate_cancel", "cont", "system_reset", "stop", "query-migrate"))),
        _do("cont"),
    ]


def _snapshot(pool: Pool, rng: Random) -> list[Step]:
    tag = pool.draw("snapshot", rng)
    return [Item(f"{pick(rng, ('savevm', 'loadvm', 'delvm', 'info snapshots'))} {tag}", None, hmp=True),
            Item(f"{pick(rng, ('loadvm', 'delvm', 'savevm'))} {tag}", None, hmp=True), _do("cont")]  # fmt: skip


def _snapshot_job(pool: Pool, rng: Random) -> list[Step]:
    arguments = {"job-id": pool.draw("job", rng), "tag": pool.draw("snapshot", rng), "devices": ["qdisk"]}
    command = pick(rng, ("snapshot-save", "snapshot-load", "snapshot-delete"))
    if command != "snapshot-delete":
        arguments["vmstate"] = "qdisk"
    return [Item(command, arguments), WaitEvent("JOB_STATUS_CHANGE", EVENT_S), _do("query-jobs"),
            _do("job-dismiss", id=arguments["job-id"]), _do("cont")]  # fmt: skip


_SCENARIOS: tuple[Callable[[Pool, Random], list[Step]], ...] = (
    _stop_cont, _stop_cont, _reset, _reset, _cpu, _disk, _disk, _hub, _migrate, _snapshot, _snapshot_job,
    lambda pool, rng: qcow2_disk("qdisk"),
)  # fmt: skip
