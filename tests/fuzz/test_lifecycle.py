"""Stories are made of known commands in an order that can work."""

from __future__ import annotations

from random import Random

from qstress.fuzz.corpus import Item
from qstress.fuzz.lifecycle import draw_scenario, qcow2_disk
from qstress.fuzz.ops import WaitEvent
from qstress.fuzz.pool import Pool


def commands(steps: list[Item | WaitEvent]) -> list[str]:
    return [step.command for step in steps if isinstance(step, Item)]


def test_there_are_stories_of_all_kinds_and_none_begins_with_waiting() -> None:
    pool, rng = Pool(), Random(1)
    stories = [draw_scenario(pool, rng) for _ in range(500)]
    told = {command.split(" ")[0] for steps in stories for command in commands(steps)}
    assert told >= {
        "stop", "cont", "system_reset", "device_add", "device_del", "blockdev-add", "blockdev-del", "netdev_add",
        "migrate", "migrate_cancel", "savevm", "loadvm", "snapshot-save", "query-hotpluggable-cpus",
    }  # fmt: skip
    assert all(isinstance(steps[0], Item) for steps in stories)
    assert all(item.hmp == (item.arguments is None) for steps in stories for item in steps if isinstance(item, Item))


def test_a_disk_is_made_before_it_is_plugged() -> None:
    assert commands(qcow2_disk("q")) == [
        "blockdev-create", "job-dismiss", "blockdev-add", "blockdev-create", "job-dismiss", "blockdev-add",
        "device_add",
    ]  # fmt: skip
