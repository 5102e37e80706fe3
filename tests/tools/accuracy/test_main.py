"""Which parts are which, and what reports are given."""

from __future__ import annotations

from qstress.model import Accel, Outcome, Verdict
from qstress.report.accuracy import FalseAlarms
from tools.accuracy.__main__ import KINDS, false_alarms, part_name
from tools.accuracy.parts import parts_of
from tools.accuracy.table import HEALTHY, Row, truth

OK = Verdict(Outcome.OK, "Found 4 cpu(s)")


def test_latency_is_measured_with_four_vcpus_on_one_lane_without_hogs() -> None:
    parts = parts_of(KINDS, 1.0, 0.2, kvm=True)
    timed = [part for part in parts if part_name(part) == "timed"]
    assert {part.lanes for part in timed} == {1}
    assert not any(part.loaded for part in timed)
    assert {part.row.name for part in timed} == {
        *(f"a CPU counted that is not there, {accel} -smp 4" for accel in Accel), "lost AP, SeaBIOS, tcg -smp 4",
        "lost AP, smpscan in place, tcg -smp 4", "lost AP, smpscan in place, kvm -smp 4",
        "lost AP, SeaBIOS, kvm -smp 4",
    }  # fmt: skip
    assert {part_name(part) for part in parts} == {"timed", "plain", "loaded"}
    assert all(part.loaded == part.row.name.endswith(", 8x load") == (part_name(part) == "loaded") for part in parts)


def test_reports_speak_of_healthy_guests_only() -> None:
    rows = [
        Row("healthy, SeaBIOS", "SeaBIOS"), Row("healthy, SeaBIOS, 8x load", "SeaBIOS", loaded=True),
        Row("guest paused", "SeaBIOS"), Row("healthy, smpscan", "smpscan"), Row("slow", "slow hosts"),
    ]  # fmt: skip
    for row in rows:
        row.add(HEALTHY if row.name != "guest paused" else truth(Outcome.OK), OK, None)
    assert false_alarms(rows) == [FalseAlarms("smpscan", 0, 1, 0), FalseAlarms("SeaBIOS", 0, 2, 1)]
