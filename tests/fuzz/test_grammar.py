"""Arguments out of a schema: right ones fit it, wrong ones do not, everything of it is reached, and it is quick."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from qstress.fuzz.grammar import EDGES, Grammar
from qstress.fuzz.pool import Pool
from tests.fuzz.samples import schema


def made(depth: int = 5) -> Grammar:
    return Grammar(schema(), Pool(), lambda rng: "info status", depth=depth)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0) if isinstance(value, (dict, list)) else 0


def test_arguments_fit_the_schema() -> None:
    grammar, known, rng = made(), schema(), Random(1)
    for name, command in known.commands.items():
        for _ in range(200):
            assert known.misfit(grammar.arguments(name, rng), command.arguments) is None, name


def test_every_variant_alternative_member_and_edge_is_reached() -> None:
    grammar, rng = made(), Random(2)
    blocks = [grammar.arguments("blockdev-add", rng) for _ in range(500)]
    assert {block["driver"] for block in blocks} == {"file", "raw"}
    assert {type(block["file"]) for block in blocks if block["driver"] == "raw"} == {str, dict}
    assert any("node-name" in block for block in blocks)
    sizes = [grammar.arguments("resize", rng) for _ in range(2000)]
    assert {"size", "ratio", "on", "name", "gone"} == set().union(*sizes)
    assert len(set(EDGES) & {size["size"] for size in sizes}) > len(EDGES) / 2
    assert {-(1 << 63), (1 << 63) - 1, (1 << 64) - 1, 1 << 64} <= set(EDGES)
    assert {len(nodes["nodes"]) for nodes in (grammar.arguments("reopen", rng) for _ in range(2000))} == {
        0,
        1,
        2,
        3,
        64,
    }


def test_nesting_ends_at_the_cap() -> None:
    for cap in (1, 3):
        grammar, rng = made(cap), Random(3)
        deepest = max(depth_of(grammar.arguments("blockdev-add", rng)) for _ in range(3000))
        assert cap < deepest <= cap + 2


def test_wrong_arguments_do_not_fit_as_a_rule() -> None:
    grammar, known, rng = made(), schema(), Random(4)
    wrong = [grammar.spoiled(grammar.arguments("blockdev-add", rng), rng) for _ in range(1000)]
    misfits = [known.misfit(value, "2") or "" for value in wrong]
    assert sum(map(bool, misfits)) > 800
    for kind in ("missing", "unexpected", "not string", "not object"):
        assert any(kind in misfit for misfit in misfits), kind
    assert all(json.loads(json.dumps(value)) == value for value in wrong)


def test_members_are_filled_by_what_they_mean() -> None:
    grammar, rng = made(), Random(5)
    grammar._pool.properties["/machine"] = [("rtc-time", "struct tm"), ("smm", "bool")]
    drawn = [grammar.arguments("qom-set", rng) for _ in range(300)]
    assert any(a["path"] == "/machine" and a["property"] == "smm" and isinstance(a["value"], bool) for a in drawn)
    assert grammar.arguments("human-monitor-command", rng)["command-line"] == "info status"


def test_the_same_seed_makes_the_same_arguments() -> None:
    one = [made().arguments("blockdev-add", rng) for rng in [Random(6)] for _ in range(50)]
    two = [made().arguments("blockdev-add", rng) for rng in [Random(6)] for _ in range(50)]
    assert one == two
