"""What a process-run makes of its trials, on guests that the test plays; live ones are in tests/live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.errors import RigError
from qstress.guest.qmp import CommandRefused
from qstress.hammer.drive import Hammer
from qstress.model import FindingClass, Outcome, Trial
from qstress.trial import process_run
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, TrialContext
from qstress.trial.instrumented import InstrumentedGuest
from qstress.trial.journal import rejudged
from qstress.trial.process_run import lost_pattern, run_process, run_trial
from tests.samples import trial
from tests.trial.fakes import Stage, shaped, staged
from tests.trial.playbook import BANNER
from tests.trial.test_bringup import SERIES, UNHAMMERED, UP
from tests.trial.test_watch import ABOUT

#: What a guest does when it is told to run.
Boot = Callable[[Stage], None]
IN_PLACE = shaped(UNHAMMERED, restart="reset", process_trials=2)


def comes_up(stage: Stage) -> None:
    stage.prints(*UP)


def replays(stage: Stage) -> None:
    stage.prints(BANNER.data, b"PCI: No VGA devices found\n", b"In resume (status=0)\n")


def dies(stage: Stage) -> None:
    stage.ends(-9)


class Kept(Coordinator):
    """Keeps what it is told; says to stop at *most* results."""

    def __init__(self, most: int = 10**9) -> None:
        self.finished: list[FinishedTrial] = []
        self._most = most

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        self.finished.extend(finished)
        return len(self.finished) < self._most

    @property
    def said(self) -> list[tuple[int, str]]:
        """The trials in the order in which they were told, each with its class or outcome."""
        results = [each.result for each in self.finished]
        return [(result.trial.number, result.verdict.finding_class or result.verdict.outcome) for result in results]


class Qemus:
    """Plays the guests of a process-run: ``boots`` is what each bring-up does, ``began`` the first trial of each
    QEMU."""

    def __init__(self, *boots: Boot) -> None:
        self.boots: Iterator[Boot] = iter(boots)
        self.began: list[int] = []
        self.stages: list[Stage] = []
        self.set_up: Boot = lambda stage: None

    @asynccontextmanager
    async def instrumented_guest(
        self, first: Trial, context: TrialContext, coordinator: Coordinator | None = None, *, lost_every: int = 0
    ) -> AsyncIterator[InstrumentedGuest]:
        self.began.append(first.number)
        hammers = len(first.cell.stratum.hammers)
        async with staged(first.cell.stratum.shape, hammers=hammers, coordinator=coordinator) as stage:
            stage.monitor.answers["cont"] = lambda line: next(self.boots)(stage)
            self.stages.append(stage)
            self.set_up(stage)
            yield stage.made


@pytest.fixture
def qemus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Qemus]:
    def played(*boots: Boot) -> Qemus:
        made = Qemus(*boots)
        monkeypatch.setattr(process_run, "instrumented_guest", made.instrumented_guest)
        monkeypatch.setattr(process_run, "live_stacks", lambda pid: "of the living")
        monkeypatch.setattr(process_run, "crash_stacks", lambda pid, binary, folder: "of the dead")
        return made

    return played


def numbered(first: Trial, many: int) -> list[Trial]:
    return [replace(first, number=number) for number in range(1, many + 1)]


async def test_a_trial_in_a_process_of_its_own_ends_it_and_tells_what_is_healthy(qemus: Callable[..., Qemus]) -> None:
    played = qemus(comes_up)
    finished = await run_trial(UNHAMMERED, TrialContext(run_began_s=1.0))
    assert finished.result.verdict.outcome is Outcome.OK
    assert finished.result.boot_s is not None
    assert finished.healthy is not None
    assert finished.healthy.boot_s == finished.result.boot_s
    assert finished.healthy.slowness >= 1.0
    assert finished.evidence is None
    assert played.stages[0].process.exited.is_set()


async def test_each_has_a_process_where_that_is_asked_for(qemus: Callable[..., Qemus]) -> None:
    played, kept = qemus(comes_up, dies, comes_up), Kept()
    await run_process(numbered(UNHAMMERED, 3), TrialContext(), kept)
    assert kept.said == [(1, "ok"), (2, "crash"), (3, "ok")]
    assert played.began == [1, 2, 3]
    (_, crash, _) = kept.finished
    assert crash.evidence is not None
    assert rejudged(crash.evidence.journal).today == crash.result.verdict
    assert crash.healthy is None


async def test_bring_ups_in_place_share_a_qemu(qemus: Callable[..., Qemus]) -> None:
    played, kept = qemus(comes_up, comes_up, comes_up), Kept()
    await run_process(numbered(IN_PLACE, 3), TrialContext(), kept)
    assert kept.said == [(1, "ok"), (2, "ok"), (3, "ok")]
    assert played.began == [1]
    assert played.stages[0].monitor.asked == ["cont", *["stop", "system_reset", "cont"] * 2]


async def test_the_first_finding_of_a_class_ends_its_qemu_and_repeats_do_not(qemus: Callable[..., Qemus]) -> None:
    played, kept = qemus(comes_up, replays, replays, comes_up), Kept()
    await run_process(numbered(IN_PLACE, 4), TrialContext(), kept)
    assert kept.said == [(1, "ok"), (2, "replayed-init"), (3, "replayed-init"), (4, "ok")]
    assert played.began == [1, 3]
    known = TrialContext(known=frozenset({FindingClass.REPLAYED_INIT}))
    played = qemus(replays, comes_up)
    await run_process(numbered(IN_PLACE, 2), known, Kept())
    assert played.began == [1]


async def test_what_is_no_hang_ends_its_qemu_each_time(qemus: Callable[..., Qemus]) -> None:
    played = qemus(dies, dies, comes_up)
    await run_process(numbered(IN_PLACE, 3), TrialContext(), Kept())
    assert played.began == [1, 2, 3]


async def test_a_qemu_that_grows_is_replaced(qemus: Callable[..., Qemus]) -> None:
    def grows(stage: Stage) -> None:
        comes_up(stage)
        stage.process.rss_bytes += process_run.MOST_GROWTH_BYTES + 1

    played = qemus(comes_up, grows, comes_up)
    await run_process(numbered(IN_PLACE, 3), TrialContext(), Kept())
    assert played.began == [1, 3]


@pytest.mark.parametrize("first", [UNHAMMERED, IN_PLACE, SERIES])
async def test_it_stops_when_nobody_wants_more(qemus: Callable[..., Qemus], first: Trial) -> None:
    qemus(*[comes_up if first is not SERIES else lambda stage: stage.prints(ABOUT + b"()()(")] * 9)
    kept = Kept(2)
    await run_process(numbered(first, 9), TrialContext(), kept)
    assert kept.said == [(1, "ok"), (2, "ok")]


async def test_a_qemu_whose_monitor_still_owes_an_answer_is_replaced(
    qemus: Callable[..., Qemus], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(hammer: Hammer, timeout_s: float) -> bool:
        return False

    monkeypatch.setattr(Hammer, "quiesce", never)
    played = qemus(comes_up, comes_up)
    await run_process(numbered(shaped(trial(), restart="reset", process_trials=2), 2), TrialContext(), Kept())
    assert played.began == [1, 2]


@pytest.mark.parametrize("first", [UNHAMMERED, IN_PLACE, SERIES])
async def test_what_cannot_be_kept_ends_it_with_that_error_and_is_no_trials_outcome(
    qemus: Callable[..., Qemus], first: Trial
) -> None:
    class Full(Kept):
        def take(self, finished: Sequence[FinishedTrial]) -> bool:
            super().take(finished)
            raise RigError("disk full", reason="disk-full")

    qemus(comes_up if first is not SERIES else lambda stage: stage.prints(ABOUT + b"()()("))
    full = Full()
    with pytest.raises(RigError, match="disk full") as raised:
        await run_process(numbered(first, 9), TrialContext(), full)
    assert raised.value.reason == "disk-full"
    assert {result for _, result in full.said} == {"ok"}


@pytest.mark.parametrize("first", [UNHAMMERED, IN_PLACE])
async def test_a_guest_that_does_not_begin_costs_one_trial(qemus: Callable[..., Qemus], first: Trial) -> None:
    def refuse(line: str) -> object:
        raise CommandRefused("cont: no")

    played, kept = qemus(comes_up), Kept()

    def set_up(stage: Stage) -> None:
        if len(played.began) == 1:
            stage.monitor.answers["cont"] = refuse

    played.set_up = set_up
    await run_process(numbered(first, 2), TrialContext(run_began_s=1.0), kept)
    assert kept.said == [(1, "rig"), (2, "ok")]
    failed = kept.finished[0].result
    assert (failed.rig_reason, failed.boot_s, failed.detection_s) == ("qemu-start", None, None)
    assert "QEMU did not start its guest" in failed.verdict.title


@pytest.mark.parametrize("first", [UNHAMMERED, IN_PLACE])
async def test_a_qemu_that_does_not_start_costs_one_trial(monkeypatch: pytest.MonkeyPatch, first: Trial) -> None:
    class Refused:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def __aenter__(self) -> InstrumentedGuest:
            raise ExceptionGroup("", [RigError("no such binary", reason="spawn")])

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError

    monkeypatch.setattr(process_run, "instrumented_guest", Refused)
    kept = Kept()
    await run_process(numbered(first, 2), TrialContext(), kept)
    assert kept.said == [(1, "rig"), (2, "rig")]
    assert kept.finished[0].result.rig_reason == "spawn"


async def test_evidence_is_made_of_so_many_of_a_kind(qemus: Callable[..., Qemus]) -> None:
    qemus(*[replays] * 4)
    kept = Kept()
    await run_process(numbered(IN_PLACE, 4), TrialContext(evidence=EvidenceQuota(2)), kept)
    assert [each.evidence is not None for each in kept.finished] == [True, True, False, False]


async def test_stacks_are_taken_of_what_died_or_stands_still_and_is_kept(qemus: Callable[..., Qemus]) -> None:
    qemus(dies, replays, dies)
    kept = Kept()
    await run_process(numbered(UNHAMMERED, 3), TrialContext(evidence=EvidenceQuota(1)), kept)
    evidence = [each.evidence for each in kept.finished]
    assert [one and one.stacks for one in evidence] == ["of the dead", "", None]


async def test_all_journals_are_kept_where_that_is_asked_for(qemus: Callable[..., Qemus], tmp_path: Path) -> None:
    qemus(comes_up, replays)
    kept = Kept()
    await run_process(numbered(IN_PLACE, 2), TrialContext(journals=str(tmp_path)), kept)
    again = [rejudged(path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    assert [each.today for each in again] == [each.result.verdict for each in kept.finished]
    qemus(comes_up)
    with pytest.raises(RigError, match="the journal cannot be written"):
        await run_process([IN_PLACE], TrialContext(journals=str(tmp_path / "none")), kept)


# ---- series


def series(*reads: bytes) -> Boot:
    """A guest that prints *reads*, each once the one before has been counted."""

    def run(stage: Stage) -> None:
        stage.prints(*reads)

    return run


async def test_bring_ups_of_a_series_share_their_time_and_are_told_a_handful_at_a_time(
    qemus: Callable[..., Qemus],
) -> None:
    qemus(series(ABOUT + b"()()()("))
    kept = Kept()
    await run_process(numbered(SERIES, 3), TrialContext(), kept)
    assert kept.said == [(1, "ok"), (2, "ok"), (3, "ok")]
    results = [each.result for each in kept.finished]
    assert len({result.duration_s for result in results}) == 1
    assert results[1].started_s == pytest.approx(results[0].started_s + results[0].duration_s)
    assert {result.verdict.title for result in results} == {"Found 4 cpu(s)"}


async def test_a_replay_between_healthy_ones_is_the_trial_it_was(qemus: Callable[..., Qemus]) -> None:
    played = qemus(series(ABOUT + b"()()(\x81)("), series(ABOUT + b"()("))
    kept = Kept()
    await run_process(numbered(SERIES, 4), TrialContext(), kept)
    assert kept.said == [(1, "ok"), (2, "ok"), (3, "replayed-init"), (4, "ok")]
    assert played.began == [1, 4]


async def test_a_long_series_is_looked_at_in_between(
    qemus: Callable[..., Qemus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_run, "LONGEST_SERIES", 2)
    played = qemus(series(ABOUT + b"()()("))
    kept = Kept()
    told = iter([b")()(", b")("])

    class Printing(Kept):
        def take(self, finished: Sequence[FinishedTrial]) -> bool:
            kept.take(finished)
            if (more := next(told, None)) is not None:
                played.stages[0].prints(more)
            return True

    await run_process(numbered(SERIES, 5), TrialContext(), Printing())
    assert [number for number, _ in kept.said] == [1, 2, 3, 4, 5]
    assert played.began == [1]


# ---- where APs are to be lost


def losing(flags: Sequence[bool]) -> list[Trial]:
    return [replace(trial(i), inject_lost_ap=flag) for i, flag in enumerate(flags)]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("....", (0, 4)),
        ("..x..x..x.", (3, 10)),
        ("x..x", (1, 1)),
        (".x..x", (2, 3)),
        ("xx", (1, 2)),
        ("x", (1, 1)),
    ],
)
def test_every_nth_bring_up_of_a_process_loses_one(lost: str, expected: tuple[int, int]) -> None:
    assert lost_pattern(losing([mark == "x" for mark in lost])) == expected


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_processes_one_after_another_lose_where_the_plan_says_so(flags: list[bool]) -> None:
    todo, lost = losing(flags), list[bool]()
    while todo:
        every, most = lost_pattern(todo)
        lost += [every > 0 and place % every == 0 for place in range(1, most + 1)]
        todo = todo[most:]
    assert lost == flags
