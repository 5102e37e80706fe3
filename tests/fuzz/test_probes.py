"""Commands that should leave nothing behind are repeated at the end of a guest's life."""

from __future__ import annotations

from collections import Counter
from random import Random

from qstress.fuzz.generator import Generator
from qstress.fuzz.ops import Footprint, MeasureFootprint, Send
from qstress.fuzz.oracles.leak import REPEATS, REPEATS_AGAIN
from qstress.fuzz.probes import PROBES
from tests.fuzz.samples import knowledge, play


def test_a_command_that_seems_to_grow_is_probed_again_and_longer() -> None:
    generator, rng, sizes = Generator(knowledge(), 1, 0), Random(0), []
    while (exchange := generator.next()) is not None:
        looks = iter(range(10))
        results = [
            Footprint(10, next(looks) * REPEATS * 8192) if isinstance(op, MeasureFootprint) else result
            for op, result in zip(exchange.ops, play(exchange, rng), strict=True)
        ]
        generator.feed(exchange, results)
        if exchange.kind.startswith("probe"):
            sizes.append((exchange.kind, sum(isinstance(op, Send) for op in exchange.ops)))
    assert sizes[:2] == [("probe", 3 * REPEATS + 1), ("probe-again", 3 * REPEATS_AGAIN + 1)]
    assert len(sizes) == 2 * PROBES


def test_a_command_that_can_be_about_many_things_is_probed_no_more_than_others() -> None:
    known = knowledge()
    rng, probed = Random(0), Counter[str]()
    for life in range(30):
        generator = Generator(known, 1, life)
        while (exchange := generator.next()) is not None:
            generator.feed(exchange, play(exchange, rng))
            if exchange.kind == "probe":
                probed[[op.command for op in exchange.ops if isinstance(op, Send)][-1]] += 1
    assert len([name for name in known.corpus.probed if name.startswith("qom-set ")]) > 5
    assert probed["qom-set"] <= probed["resize"] + 2
