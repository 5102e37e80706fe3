"""How batches are given out, and what becomes of trials that do not count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from qstress.model import Accel, FindingClass, Outcome, Verdict
from tools.accuracy import parts
from tools.accuracy.kind import Batch, Kind, Load
from tools.accuracy.parts import TRIES, Part, parts_of, rows_of
from tools.accuracy.table import HEALTHY, Row

OK = Verdict(Outcome.OK, "Found 4 cpu(s)")


def part(work: Callable[[Batch], Awaitable[None]], wanted: int, *, batch: int = 1, lanes: int = 1) -> Part:
    kind = Kind("some", wanted, work, Accel.TCG, "", batch=batch, lanes=lanes, load=Load.NEVER)
    return Part(kind, False, wanted, Row("some"), Row(""))


async def test_lanes_share_the_batches_and_none_is_done_twice() -> None:
    begun: list[tuple[int, int]] = []

    async def work(batch: Batch) -> None:
        begun.append((batch.first, batch.many))
        await anyio.lowlevel.checkpoint()
        for _ in range(batch.many):
            batch.book(HEALTHY, OK, None)

    it = part(work, 25, batch=10, lanes=3)
    await it.run()
    assert begun == [(0, 9), (9, 9), (18, 7)]
    assert it.row.n == 25


async def test_a_trial_that_is_not_booked_is_made_up_for() -> None:
    async def work(batch: Batch) -> None:
        if batch.first % 2:
            batch.book(HEALTHY, OK, None)

    it = part(work, 10, lanes=2)
    await it.run()
    assert it.row.n == 10


async def test_what_was_booked_before_is_not_done_again_and_new_trials_have_new_numbers() -> None:
    begun: list[tuple[int, int]] = []

    async def work(batch: Batch) -> None:
        begun.append((batch.first, batch.many))
        for _ in range(batch.many):
            batch.book(HEALTHY, OK, None)

    it = part(work, 30, batch=10)
    for _ in range(20):
        it.row.add(HEALTHY, OK, None)
    await it.run()
    await it.run()
    assert begun == [(20, 10)]


async def test_no_lane_is_idle_because_batches_are_large() -> None:
    begun: list[int] = []

    async def work(batch: Batch) -> None:
        begun.append(batch.many)
        await anyio.lowlevel.checkpoint()
        for _ in range(batch.many):
            batch.book(HEALTHY, OK, None)

    await part(work, 20, batch=1000, lanes=3).run()
    assert begun == [7, 7, 6]


async def test_what_is_booked_is_kept_once_also_when_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Row] = []

    async def work(batch: Batch) -> None:
        batch.book(HEALTHY, OK, None)
        batch.book(HEALTHY, OK, None, beside=True)
        if batch.first == 3:
            await anyio.sleep_forever()

    it = part(work, 10)
    it.keep = kept.extend
    monkeypatch.setattr(parts, "TELL_EVERY_S", 0.0)
    with anyio.move_on_after(0.2) as scope:
        await it.run()
    assert scope.cancelled_caught
    own, beside = ([row for row in kept if row.name == name] for name in ("some", ""))
    assert len(own) > 1
    assert sum(row.n for row in own) == sum(row.n for row in beside) == 4
    assert sum(row.took_s for row in own) == pytest.approx(it.row.took_s)


async def test_what_never_counts_comes_to_an_end() -> None:
    begun: list[int] = []

    async def work(batch: Batch) -> None:
        begun.append(batch.first)
        batch.book(HEALTHY, OK, None, beside=True)

    it = part(work, 10)
    await it.run()
    assert begun == list(range(TRIES * 10))
    assert (it.row.n, it.beside.n) == (0, TRIES * 10)


async def test_what_is_not_right_is_told_with_its_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    async def work(batch: Batch) -> None:
        batch.book(HEALTHY, Verdict(Outcome.HANG, "stuck", FindingClass.HANG_OTHER, because=("it is silent",)), 0.1)

    await part(work, 1).run()
    assert "wrong: some: hang-other, stuck (certain)\n    it is silent\n" in capsys.readouterr().err


def test_kinds_become_rows_and_share_those_beside(capsys: pytest.CaptureFixture[str]) -> None:
    async def work(batch: Batch) -> None:
        """Carry out nothing."""

    kinds = [
        Kind("a", 100, work, Accel.TCG, "", beside="between"),
        Kind("b", 100, work, Accel.TCG, "", beside="between", load=Load.NEVER),
        Kind("c", 100, work, Accel.KVM, ""),
        Kind("d", 100, work, Accel.TCG, "", impossible="too hard"),
    ]
    before = Row("a, 8x load", took_s=5.0)
    made = parts_of(kinds, 1.0, 0.2, kvm=False, rows={before.name: before})
    assert [(each.row.name, each.loaded, each.wanted) for each in made] == [
        ("a", False, 80), ("a, 8x load", True, 20), ("b", False, 100),
    ]  # fmt: skip
    assert made[1].row is before
    assert [row.name for row in rows_of(made)] == ["a", "between", "a, 8x load", "between, 8x load", "b"]
    said = capsys.readouterr().err
    assert "skipped: c: no usable KVM" in said
    assert "skipped: d: too hard" in said
