"""What a finished bring-up leaves for the statistics and for the sceptic."""

from __future__ import annotations

import pytest

from qstress.model import LATENCY_BUCKETS_S, Accel, Outcome
from tests.live.rig import HAMMER, planned, run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


async def test_a_healthy_trial_is_counted_and_leaves_no_evidence() -> None:
    result, evidence = await run(planned(Accel.TCG, 2, hammers=(HAMMER, HAMMER)))
    assert evidence is None
    assert result.verdict.outcome is Outcome.OK
    assert len(result.latencies) == len(LATENCY_BUCKETS_S) + 1
    assert sum(result.latencies) == sum(count.returned for count in result.commands)
    assert result.boot_s is not None
    assert 0 < result.boot_s < result.duration_s


async def test_a_finding_brings_everything_that_was_seen() -> None:
    result, evidence = await run(planned(Accel.TCG, 3, lost_ap=True))
    assert result.verdict.outcome is Outcome.HANG
    assert evidence is not None
    assert evidence.console.startswith(b"SeaBIOS (version")
    times = [at_s for at_s, _ in evidence.dumps]
    assert times == sorted(times)
    assert all(text.count("CPU#") >= 2 for _, text in evidence.dumps)
    sent = [command["sent_s"] for command in evidence.commands]
    assert sent == sorted(sent, key=lambda at_s: float(str(at_s)))
    assert [thread.index for thread in evidence.threads] == [0, 1, 2]
    assert evidence.threads[0].share > 10 * evidence.threads[2].share
    assert "-smp" in evidence.argv
    assert not any("fd=" in argument for argument in evidence.argv)
    assert {"limits", "milestones_s", "host", "duty_cycle", "states", "looks_s", "lanes", "end_s"} <= set(
        evidence.notes
    )
    assert [event["event"] for event in evidence.events][0] == "RESUME"
