"""The window log of real boots under KVM, and what a hold does to both races. Nothing here measures time: what a hold
makes likely is waited for, within many boots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qstress.interposer.build import environment
from qstress.interposer.windows import Bracket, RecordKind, causal_line, duty_cycle, init_bracket, windows
from qstress.model import Accel, Build, FindingClass, Outcome
from qstress.trial.context import TrialContext
from tests.live.rig import Brought, bring_up, planned, pretending, stock

pytestmark = [pytest.mark.qemu, pytest.mark.kvm, pytest.mark.timeout(180)]
NONE: dict[str, Any] = {}
WRITE: dict[str, Any] = {"hold_write_s": 1e-3}
READ: dict[str, Any] = {"hold_read_s": 1e-3}
UNTIL: dict[str, Any] = {"hold_until_checkin_s": 10.0}


class Boot:
    """One trial that is over, with its window log."""

    def __init__(self, brought: Brought) -> None:
        assert brought.log is not None
        self.bringup, self.log = brought.under_way, brought.log
        self.verdict = brought.verdict
        self.zero_ns = self.bringup.watch.zero_ns

    @property
    def bracket(self) -> Bracket | None:
        return init_bracket(self.log, self.zero_ns)

    def line(self, vcpu: int) -> str:
        return causal_line(self.log, vcpu, self.zero_ns) or ""

    @property
    def lost(self) -> list[int]:
        """The APs that the dumps show at the reset vector."""
        assert self.bringup.look is not None
        return [vcpu.index for vcpu in self.bringup.look.examination.after.vcpus if vcpu.at_reset_vector]


async def boot(build: Build, hold: dict[str, Any], *, smp: int = 4) -> Boot:
    """Run one hammered trial with a log and the hold, released when it is over."""
    context = TrialContext(env=environment(replace(build, **hold), 0))
    return Boot(await bring_up(planned(Accel.KVM, smp, build=build), context))


async def until(found: FindingClass, build: Build, hold: dict[str, Any], boots: int) -> Boot:
    """Boot until that is found."""
    others = []
    for _ in range(boots):
        seen = await boot(build, hold)
        if seen.verdict.finding_class is found:
            return seen
        others.append(seen.verdict.title)
    pytest.fail(f"no {found} in {boots} boots: {others}")


async def test_a_hammered_boot_has_windows_and_an_init_between_them() -> None:
    seen = await boot(stock(), NONE)
    assert seen.log.torn == 0
    bracket = seen.bracket
    assert bracket is not None
    assert bracket.lower_ns is not None
    assert seen.zero_ns < bracket.lower_ns <= bracket.upper_ns
    seen_windows = windows(seen.log)
    assert 0.0 < duty_cycle(seen_windows, seen.zero_ns, bracket.upper_ns) < 1.0
    complete = [
        (window.vcpu, window.read_ns, window.written.ns) for window in seen_windows if window.written is not None
    ]
    assert all(read_ns < written_ns for _, read_ns, written_ns in complete)
    assert {vcpu for vcpu, _, _ in complete} == {0, 1, 2, 3}


async def test_vcpus_are_counted_as_qemu_does() -> None:
    """With sockets of three, APIC ids have gaps and cpu-indexes have none."""
    build = stock(args=("-smp", "6,sockets=2,cores=3"))
    seen = await boot(build, NONE, smp=6)
    assert {record.vcpu for record in seen.log.records} == set(range(6))


async def test_a_held_write_back_loses_inits_and_the_log_says_how() -> None:
    seen = await until(FindingClass.LOST_INIT, pretending(), WRITE, boots=20)
    assert seen.lost
    for vcpu in seen.lost:
        line = seen.line(vcpu)
        assert line.startswith(f"AP {vcpu} was read at ")
        assert "INIT was sent between" in line
    written_back = [window for window in windows(seen.log) if window.vcpu == seen.lost[0] and window.written]
    bracket = seen.bracket
    assert bracket is not None
    assert any(
        window.read_ns <= bracket.upper_ns and window.written.ns >= (bracket.lower_ns or 0)
        for window in written_back
        if window.written
    )


async def test_the_imitated_fix_loses_none_under_the_same_hold() -> None:
    boots = [await boot(pretending(fixed=True), WRITE) for _ in range(8)]
    assert all(any(record.kind is RecordKind.HELD for record in seen.log.records) for seen in boots)
    assert FindingClass.LOST_INIT not in [seen.verdict.finding_class for seen in boots]
    assert not any("INIT was sent between" in seen.line(vcpu) for seen in boots for vcpu in range(4))


async def test_an_ap_that_is_kept_until_a_checkin_loses_its_init_at_once() -> None:
    """Three tries, because a sibling may fall to the other race, ``replayed-init``, and restart the boot."""
    seen = await until(FindingClass.LOST_INIT, pretending(), UNTIL, boots=3)
    (kept,) = {record.vcpu for record in seen.log.records if record.kind is RecordKind.HELD}
    assert kept in seen.lost
    assert "INIT was sent between" in seen.line(kept)


async def test_a_held_read_replays_inits_without_smm_and_the_log_says_how() -> None:
    seen = await until(FindingClass.REPLAYED_INIT, stock(), READ, boots=40)
    assert seen.verdict.outcome in (Outcome.RESTART, Outcome.HANG)
    lines = [seen.line(vcpu) for vcpu in (1, 2, 3)]
    assert any("with latched_init=1, then" in line and line.endswith("at f000:fff0") for line in lines)
