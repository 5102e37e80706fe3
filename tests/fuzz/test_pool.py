"""Names are learned from replies, kept within bounds, and drawn by kind."""

from __future__ import annotations

from random import Random

from qstress.fuzz.pool import KEPT, Pool


def test_names_are_learned_from_replies_and_from_accepted_arguments() -> None:
    pool = Pool()
    pool.learn("query-named-block-nodes", {}, [{"node-name": "#block1", "image": {"filename": "f"}}])
    pool.learn("query-chardev", {}, [{"label": "serial0", "filename": "pty"}])
    pool.learn("query-iothreads", {}, [{"id": "io9", "thread-id": 3}])
    pool.learn("object-add", {"qom-type": "iothread", "id": "mine"}, {})
    pool.learn("blockdev-add", {"driver": "raw", "node-name": "top"}, {})
    pool.learn(
        "query-hotpluggable-cpus", {}, [{"qom-path": "/machine/unattached/device[0]", "type": "qemu64-x86_64-cpu"}]
    )
    assert {"#block1", "top"} <= set(pool.names["node"])
    assert "serial0" in pool.names["chardev"]
    assert {"io9", "mine"} <= set(pool.names["object"])
    assert "/machine/unattached/device[0]" in pool.names["path"]


def test_properties_are_learned_with_their_types_and_children_become_paths() -> None:
    pool = Pool()
    listed = [{"name": "rtc", "type": "child<rtc>"}, {"name": "realized", "type": "bool"}]
    pool.learn("qom-list", {"path": "/machine"}, listed)
    pool.learn("device-list-properties", {"typename": "e1000"}, [{"name": "mac", "type": "str"}])
    assert "/machine/rtc" in pool.names["path"]
    assert pool.properties == {"/machine": [("realized", "bool")], "e1000": [("mac", "str")]}


def test_drivers_are_learned_from_the_list_of_device_types() -> None:
    pool = Pool()
    types = [{"name": "nvme"}, {"name": "pci-device", "abstract": True}]
    pool.learn("qom-list-types", {"implements": "device"}, types)
    assert "nvme" in pool.names["driver"]
    assert "pci-device" not in pool.names["driver"]


def test_a_kind_keeps_its_latest_names_and_nothing_unreasonable() -> None:
    pool = Pool()
    for number in range(2 * KEPT):
        pool.add("node", f"x{number}")
    pool.add("node", "y" * 500)
    pool.add("node", None)
    pool.add("node", "/chardevs/qstress-qmp")
    assert len(pool.names["node"]) == KEPT
    assert pool.names["node"][-1] == f"x{2 * KEPT - 1}"


def test_draws_are_mostly_of_the_kind_and_repeat_with_the_seed() -> None:
    pool, rng = Pool(), Random(1)
    drawn = [pool.draw("job", rng) for _ in range(1000)]
    assert 0.8 < sum(name in ("j0", "j1", "j2") for name in drawn) / 1000 < 0.95
    again = Random(1)
    assert drawn == [pool.draw("job", again) for _ in range(1000)]


def test_what_got_the_blame_is_drawn_less() -> None:
    pool = Pool()
    before = [pool.draw("job", Random(seed)) for seed in range(500)].count("j0")
    pool.avoided.add("j0")
    assert [pool.draw("job", Random(seed)) for seed in range(500)].count("j0") < before / 2
