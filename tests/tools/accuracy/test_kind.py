"""The kinds: what issue 4 asks for is there, and sizes come out as asked."""

from __future__ import annotations

from collections import Counter

import pytest

from qstress.model import Accel
from qstress.trial.context import TrialContext
from tools.accuracy.__main__ import KINDS
from tools.accuracy.in_place import HEALTHY_IN_PLACE
from tools.accuracy.kind import Batch, Kind, Load
from tools.accuracy.processes import HEALTHY_BOOTS


async def nothing(batch: Batch) -> None:
    """Carry out nothing."""


@pytest.mark.parametrize(
    ("load", "scale", "parts"),
    [
        (Load.SHARE, 1.0, [(False, 800), (True, 200)]),
        (Load.SHARE, 0.001, [(False, 1)]),
        (Load.NEVER, 0.1, [(False, 100)]),
        (Load.ALWAYS, 0.1, [(True, 100)]),
    ],
)
def test_a_share_of_the_trials_runs_with_the_hogs(load: Load, scale: float, parts: list[tuple[bool, int]]) -> None:
    assert Kind("", 1000, nothing, Accel.TCG, "", load=load).parts(scale, 0.2) == parts


def test_names_tell_kinds_apart() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)


def test_healthy_guests_are_as_many_as_the_issue_asks() -> None:
    assert sum(kind.trials for kind in HEALTHY_IN_PLACE) == 100_000
    assert sum(kind.trials for kind in HEALTHY_BOOTS if kind.group == "SeaBIOS") == 10_000


def test_faults_are_as_many_as_the_issue_asks() -> None:
    """1,000 of what a reset can make, for each accelerator or for each way to make it; 200 of what needs a process."""
    many = Counter[str]()
    for kind in KINDS:
        many[kind.fault] += kind.trials
        many[f"{kind.fault}, {kind.accel}"] += kind.trials
    for fault in ("an AP lost, by reset", "a reset loop"):
        assert many.pop(f"{fault}, tcg") == many.pop(f"{fault}, kvm") == 1000
        assert many.pop(fault) == 2000
    assert many.pop("the boot CPU spins") == 1000
    for fault in ("never-woken", "later-round", "replayed"):
        assert many.pop(f"OVMF: {fault}") == many.pop(f"OVMF: {fault}, tcg") == 100
    del many[""]
    assert {fault: n for fault, n in many.items() if n < 200 and not fault.endswith((", tcg", ", kvm"))} == {}


def test_a_batch_makes_its_trials() -> None:
    batch = Batch("row", 40, 6, TrialContext(), lambda *result, beside=False: None)
    first = batch.trial(Accel.KVM, 4, firmware="smpscan")
    trials = batch.trials(first, batch.many, lost_every=3)
    assert [trial.number for trial in trials] == [40, 41, 42, 43, 44, 45]
    assert [trial.inject_lost_ap for trial in trials] == [False, False, True] * 2
    assert not any(trial.inject_lost_ap for trial in batch.trials(first, batch.many))


def test_nobody_hammers_a_kvm_guest_unasked() -> None:
    batch = Batch("row", 0, 1, TrialContext(), lambda *result, beside=False: None)
    assert batch.trial(Accel.KVM, 4).cell.stratum.hammers == ()
    assert batch.trial(Accel.TCG, 4).cell.stratum.hammers != ()
