from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.model import Cell, ChurnSpec, HammerSpec, Rate, Stratum
from qstress.report.html.labels import Labels
from qstress.stats.tally import Tally
from tests.report.html.samples import build, settings, shown, strata
from tests.stats.samples import NEW, OK, OLD


def labels(*of: Stratum) -> Labels:
    return Labels(Tally([Cell(build("a"), stratum) for stratum in of]))


def test_one_stratum_needs_no_name() -> None:
    (only,) = strata()
    assert labels(only).stratum(only) == ""


def test_only_what_differs_is_named() -> None:
    both = strata((2, 4), ("max", "every 2ms"))
    assert [labels(*both).stratum(s) for s in both] == [
        "smp 2, @ max", "smp 2, @ every 2ms", "smp 4, @ max", "smp 4, @ every 2ms",
    ]  # fmt: skip
    sizes = strata((2, 4))
    assert labels(*sizes).stratum(sizes[1]) == "smp 4"
    assert labels(*sizes).shape(sizes[1]) == "smp 4"


def test_several_machines_are_part_of_the_shape() -> None:
    (pc,) = strata()
    q35 = replace(pc, shape=replace(pc.shape, machine="q35"))
    assert labels(pc, q35).shape(q35) == "smp 4, q35"
    assert labels(pc, q35).stratum(pc) == "pc"


@pytest.mark.parametrize(
    ("hammers", "label"),
    [
        ((HammerSpec("info cpus", "hmp", Rate(None, "max")),), "info cpus @ max"),
        ((), "none"),
    ],
)
def test_other_commands_are_named_in_full(hammers: tuple[HammerSpec, ...], label: str) -> None:
    (one,) = strata()
    other = replace(one, hammers=hammers)
    assert labels(one, other).hammer(other) == label
    assert labels(one, other).hammer(one) == "info registers -a @ max"


def test_churn_is_part_of_what_hammers() -> None:
    (calm,) = strata()
    churned = replace(calm, churn=ChurnSpec("1000/s", 1000.0))
    assert labels(calm, churned).stratum(churned) == "@ max + churn 1000/s"


def test_hosts_are_named_where_there_are_several() -> None:
    run = shown(settings(), [(OK, OK)] * 2, hosts=(OLD, NEW))
    labels, strata = Labels(run.tally), [cell.cell.stratum for cell in run.tally.cells]
    assert [labels.stratum(stratum) for stratum in strata] == ["on old"] * 2 + ["on new"] * 2
    assert [labels.shape(stratum) for stratum in strata] == ["smp 4, on old"] * 2 + ["smp 4, on new"] * 2
