from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from qstress.hammer.script import Script
from qstress.model import HammerSpec, Kick
from tests.samples import MAX, REGISTERS


def sent(script: Script, count: int) -> list[tuple[str, dict[str, Any]]]:
    messages = [json.loads(script.next()) for _ in range(count)]
    return [(message["execute"], message.get("arguments", {})) for message in messages]


def lines(spec: HammerSpec, count: int, **more: Any) -> list[str]:
    return [arguments["command-line"] for _, arguments in sent(Script(spec, 1, **more), count)]


def test_most_hammers_send_one_command_for_ever() -> None:
    assert lines(REGISTERS, 3) == ["info registers -a"] * 3
    qmp = HammerSpec("query-stats", "qmp", MAX, arguments='{"target": "vcpu"}')
    assert sent(Script(qmp, 1), 2) == [("query-stats", {"target": "vcpu"})] * 2
    assert Script(qmp, 1).at_rest


def test_a_k_is_a_vcpu_drawn_anew_each_time_and_only_as_a_word() -> None:
    spec = HammerSpec("info registers K", "hmp", MAX)
    drawn = Counter(lines(spec, 400, smp=4))
    assert set(drawn) == {f"info registers {vcpu}" for vcpu in range(4)}
    assert min(drawn.values()) > 50
    assert lines(HammerSpec("info KK K", "hmp", MAX), 1, smp=1) == ["info KK 0"]


def test_a_mix_is_drawn_by_weight_and_by_seed() -> None:
    mix = (("info registers -a", 8), ("info lapic", 1), ("info registers K", 1))
    spec = HammerSpec("a label", "hmp", MAX, mix=mix)
    drawn = Counter(lines(spec, 2000, smp=1))
    assert set(drawn) == {"info registers -a", "info lapic", "info registers 0"}
    assert 1500 < drawn["info registers -a"] < 1700
    assert sent(Script(spec, 7, smp=4), 50) == sent(Script(spec, 7, smp=4), 50)
    assert sent(Script(spec, 7, smp=4), 50) != sent(Script(spec, 8, smp=4), 50)


@pytest.mark.parametrize(
    ("kick", "expected"),
    [
        (Kick.STOP_CONT, [("stop", True), ("cont", False), ("stop", True)]),
        (Kick.DUMP_MEMORY, [("dump-guest-memory", False)] * 3),
        (
            Kick.DIRTY_LOG,
            [("migrate-set-parameters", False), ("migrate", True), ("migrate_cancel", False), ("migrate", True)],
        ),
    ],
)
def test_a_turn_of_a_kick_is_undone_before_it_is_at_rest(kick: Kick, expected: list[tuple[str, bool]]) -> None:
    script = Script(HammerSpec(kick, "kick", MAX), 1)
    assert [(sent(script, 1)[0][0], not script.at_rest) for _ in expected] == expected


def test_kicks_write_to_the_scratch_file() -> None:
    dump = Script(HammerSpec("dump-memory", "kick", MAX), 1, scratch="/x/y")
    assert sent(dump, 1) == [("dump-guest-memory", {"paging": False, "protocol": "file:/x/y"})]
    log = Script(HammerSpec("dirty-log", "kick", MAX), 1, scratch="/x/y")
    assert sent(log, 2)[1] == ("migrate", {"uri": "exec:cat > /x/y"})


def test_a_migration_is_waited_for_before_the_source_goes_on() -> None:
    script = Script(HammerSpec("migrate", "kick", MAX), 1, scratch="/x/y")
    answers = [
        ("stop", b'{"return": {}}'),
        ("migrate", b'{"return": {}}'),
        ("query-migrate", b'{"return": {"status": "setup"}}'),
        ("query-migrate", b'{"return": {"status": "active", "ram": {}}}'),
        ("query-migrate", b'{"return": {"status": "completed", "ram": {}}}'),
        ("query-status", b'{"return": {"running": false, "status": "finish-migrate"}}'),
        ("query-status", b'{"return": {"running": false, "status": "postmigrate"}}'),
        ("cont", b'{"return": {}}'),
    ]
    reply = b""
    for expected, answer in answers * 2:
        assert json.loads(script.next(reply))["execute"] == expected
        assert script.at_rest is (expected == "cont")
        reply = answer


@pytest.mark.parametrize("answer", [b'{"return": {}}', b'{"error": {"class": "GenericError", "desc": "no"}}'])
def test_a_migration_that_was_refused_is_not_waited_for(answer: bytes) -> None:
    script = Script(HammerSpec("migrate", "kick", MAX), 1)
    asked = [json.loads(script.next(answer))["execute"] for _ in range(6)]
    assert asked == ["stop", "migrate", "query-migrate", "query-status", "cont", "stop"]
