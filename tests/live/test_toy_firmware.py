"""A firmware that qstress has never heard of, added as any other is: its value, registered. Its ROM is a few bytes that
print on the debug port and halt; it wakes no AP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.firmware import BY_NAME, tier_of
from qstress.model import Accel, FindingClass, Milestone, Outcome, Tier
from qstress.report.wording import shape_text
from qstress.run.soak import repro_script
from tests.firmware.test_base import TOY
from tests.live.rig import planned, run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

ACCELS = [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)]


def rom(said: bytes) -> bytes:
    """64 KiB that end at 4 GiB: at their start what prints *said* and halts, at the reset vector a jump there."""
    code = b"\xfa\xba\x02\x04"  # cli; mov dx, 0x402
    code += b"".join(b"\xb0" + bytes((byte,)) + b"\xee" for byte in said)  # mov al, …; out dx, al
    code += b"\xf4\xeb\xfd"  # hlt; jmp back
    return code.ljust(0xFFF0, b"\xf4") + b"\xe9\x0d\x00".ljust(16, b"\xf4")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Registers a toy firmware that says what it is told to."""

    def register(said: bytes) -> None:
        (tmp_path / "toy.bin").write_bytes(rom(said))
        kind = replace(TOY, arguments=lambda shape, lost_every: ("-bios", str(tmp_path / "toy.bin")))
        monkeypatch.setitem(BY_NAME, "toy", kind)

    return register


@pytest.mark.parametrize("accel", ACCELS)
async def test_its_milestones_make_a_healthy_trial(accel: Accel, toy: Callable[[bytes], None]) -> None:
    toy(b"toy 1 starts\ntoy: all 2 up\n")
    result, evidence = await run(planned(accel, 2, firmware="toy"))
    assert (result.verdict.outcome, result.verdict.title) == (Outcome.OK, "Found 2 cpu(s)")
    assert result.boot_s is not None
    assert evidence is None
    assert tier_of(result.trial.cell) is Tier.T3
    assert f"{accel} toy, " in shape_text(result.trial.cell)


async def test_one_that_stands_still_is_a_finding_that_repro_sh_reads_by_its_own_lines(
    toy: Callable[[bytes], None],
) -> None:
    toy(b"toy 1 starts\n")
    result, evidence = await run(planned(Accel.TCG, 2, firmware="toy"))
    assert result.verdict.finding_class is FindingClass.ALL_HALTED, result.verdict
    assert evidence is not None
    assert evidence.console == b"toy 1 starts\n"
    text = repro_script(result, evidence)
    assert TOY.lines is not None
    assert f"FOUND = {TOY.lines.milestones[Milestone.FOUND]!r}" in text
    assert "SeaBIOS" not in text


async def test_one_that_starts_again_is_a_restart(toy: Callable[[bytes], None]) -> None:
    toy(b"toy 1 starts\ntoy 1 starts\ntoy: all 2 up\n")
    result, _ = await run(planned(Accel.TCG, 2, firmware="toy"))
    assert result.verdict.finding_class is FindingClass.REPLAYED_INIT
    assert result.verdict.because == ("2 toy banners before Found",)
