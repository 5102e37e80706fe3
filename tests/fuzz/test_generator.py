"""What is sent: a pure function of the seed and the replies, a mix of everything, and it learns."""

from __future__ import annotations

from random import Random

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.generator import Generator, GeneratorSettings
from qstress.fuzz.ops import Await, Close, MeasureFootprint, Op, Open, Send, To, WaitEvent, WaitExit
from qstress.fuzz.oracles.state import STATE_QUERIES
from tests.fuzz.samples import answer, knowledge, play, transcript


def ops_of(exchanges: list[Exchange]) -> list[Op]:
    return [op for exchange in exchanges for op in exchange.ops]


def test_a_recorded_transcript_gives_the_same_bytes() -> None:
    told = [transcript(made, seed=5, guest=guest, rng=Random(guest)) for made in [knowledge()] for guest in range(3)]
    again, same = knowledge(), []
    for guest, life in enumerate(told):
        generator = Generator(again, 5, guest)
        for exchange, results in life:
            repeated = generator.next()
            assert repeated is not None
            assert repeated.ops == exchange.ops
            generator.feed(repeated, results)
            same.append(repeated)
        assert generator.next() is None
    assert len(same) > 100


def test_other_seeds_and_other_replies_give_other_bytes() -> None:
    one = ops_of([exchange for exchange, _ in transcript(knowledge(), 5, 0, Random(0))])
    assert one != ops_of([exchange for exchange, _ in transcript(knowledge(), 6, 0, Random(0))])
    assert one != ops_of([exchange for exchange, _ in transcript(knowledge(), 5, 1, Random(0))])
    assert one != ops_of([exchange for exchange, _ in transcript(knowledge(), 5, 0, Random(1))])


def test_everything_is_in_the_mix() -> None:
    told = [
        told
        for guest in range(6)
        for told in transcript(knowledge(GeneratorSettings(commands=1000)), 1, guest, Random(0))
    ]
    kinds = {exchange.kind for exchange, _ in told}
    assert kinds >= {"qmp", "hmp", "corpus", "lifecycle", "hammer", "corrupt", "pieces", "interleaved", "reconnect",
                     "planned", "probe", "quit"}  # fmt: skip
    ops = ops_of([exchange for exchange, _ in told])
    assert {type(op) for op in ops} == {Send, Open, Close, WaitEvent, MeasureFootprint, WaitExit}
    sends = [op for op in ops if isinstance(op, Send)]
    assert any(b'"exec-oob"' in send.data for send in sends)
    assert any(send.data == b"\xff\n" for send in sends)
    assert any(b"info registers -a" in send.data for send in sends)
    assert any(b"\t" in send.data for send in sends if send.to is To.HMP)


def test_what_may_change_something_is_followed_by_the_state_queries() -> None:
    told = [exchange for exchange, _ in transcript(knowledge(GeneratorSettings(commands=500)), 2, 0, Random(0))]
    for exchange in told:
        queries = [op for op in exchange.ops if isinstance(op, Send) and op.ident.startswith("s")]
        assert len(queries) in (0, len(STATE_QUERIES))
        if any(isinstance(op, Send) and op.command == "qom-set" for op in exchange.ops) and exchange.kind == "qmp":
            assert queries


def test_idents_are_unique_within_a_life_and_every_reply_is_waited_for_by_one() -> None:
    told = transcript(knowledge(GeneratorSettings(commands=500)), 3, 0, Random(0))
    idents = [
        op.ident for op in ops_of([exchange for exchange, _ in told]) if isinstance(op, Send) and op.wait is Await.REPLY
    ]
    assert len(idents) == len(set(idents)) > 300
    assert all(idents)


def test_new_answers_enter_the_corpus_with_what_led_to_them() -> None:
    made = knowledge()
    transcript(made, 4, 0, Random(0))
    assert len(made.corpus.entries) > 20
    assert len(made.corpus.entries) == len({entry.key for entry in made.corpus.entries}) == len(made.coverage.keys)
    assert any(len(entry.items) > 1 for entry in made.corpus.entries)
    before = len(made.corpus.entries)
    transcript(made, 4, 1, Random(0))
    assert len(made.corpus.entries) - before < before


def test_weights_and_blame_decide_what_is_drawn() -> None:
    made = knowledge(
        GeneratorSettings(commands=1500, weights={"resize": 30, "qom-set": 0}, mix={"corpus": 0, "lifecycle": 0})
    )
    sent = [op.command for op in ops_of([e for e, _ in transcript(made, 1, 0, Random(0))]) if isinstance(op, Send)]
    assert sent.count("resize") > 200
    assert "qom-set" not in sent
    made.corpus.suspects["resize"] = 1000
    blamed = [op.command for op in ops_of([e for e, _ in transcript(made, 1, 1, Random(0))]) if isinstance(op, Send)]
    assert blamed.count("resize") < sent.count("resize") / 5


def test_a_guest_that_is_not_running_is_resumed() -> None:
    generator, rng = Generator(knowledge(GeneratorSettings(commands=2000)), 1, 0), Random(0)
    conts = 0
    while (exchange := generator.next()) is not None:
        paused = [
            result.replace(b"running", b"paused") if isinstance(result, bytes) else result
            for result in play(exchange, rng)
        ]
        generator.feed(exchange, paused)
        conts += sum(isinstance(op, Send) and op.command == "cont" for op in exchange.ops)
    assert generator.runstate == "paused"
    assert conts > 10


def test_answers_are_judged_and_a_lost_one_is_lost() -> None:
    generator = Generator(knowledge(), 1, 0)
    first = generator.next()
    assert first is not None
    answers = generator.feed(first, [None] * len(first.ops))
    assert [each.digest.fate for each in answers] == ["lost"]
    assert all(answer(each.send, Random(0)) for each in answers)
