"""Faults by a scripted gdb stub and a scripted monitor; on living guests: tests/live/test_ovmf.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from qstress.errors import GuestError, RigError
from qstress.firmware.base import ApFault
from qstress.firmware.streams import Stream
from qstress.guest.gdb import Gdb
from qstress.model import Trial
from qstress.trial.leave_out import MOST_LOOKS, let_run, strike, victim_of
from tests.firmware.linux_texts import KERNEL
from tests.firmware.test_linux import LINUX
from tests.firmware.test_ovmf import PAIR
from tests.firmware.test_ovmf_wait import PAGE, SENT, dump, page
from tests.samples import build, shape, trial
from tests.trial.fakes import Stage, staged
from tests.trial.test_boot_cpu import memory

OVMF = shape(4, firmware="ovmf", pflash=PAIR)


def planned(fault: ApFault, seed: int = 1) -> Trial:
    """A trial whose fault strikes CPU#2."""
    made = trial(inject_lost_ap=True)
    stratum = replace(made.cell.stratum, shape=OVMF)
    return replace(made, seed=seed, cell=replace(made.cell, build=build(fault=fault.value), stratum=stratum))


class FakeGdb:
    """Remembers what it was asked for; *stops*: who will have hit a breakpoint; *fails*: at what it gives up."""

    def __init__(self, *, stops: int = 2, fails: str = "") -> None:
        self.asked: list[Any] = []
        self._stops, self._fails = stops, fails

    def __getattr__(self, name: str) -> Any:
        async def do(*args: Any, **more: Any) -> int:
            if name == self._fails:
                raise GuestError("the gdb stub has hung up")
            self.asked.append((name, *args, *more.values()))
            return self._stops

        return do


def waiting(stage: Stage, found: int) -> None:
    """Have the boot CPU wait in the first round, with so many CPUs up."""
    wake_up = page("X64, 2026.08", found - 1)
    stage.monitor.answers |= {
        "info registers": "CPU#0\r\n" + dump(0x3B7BF58).split("CPU#0\r\n")[1],
        "info lapic": SENT,
        "xp": lambda line: memory(PAGE, wake_up) if line.endswith(f"{PAGE:#x}") else memory(0, bytes(64)),
    }


@pytest.mark.parametrize(
    ("fault", "left_out"),
    [(ApFault.NEVER_WOKEN, [2]), (ApFault.WOKEN_LATE, [2]), (ApFault.REPLAYED, [2]), (ApFault.LATER_ROUND, [])],
)
async def test_one_is_left_out_from_the_start_unless_it_is_to_be_lost_later(
    fault: ApFault, left_out: list[int]
) -> None:
    gdb = FakeGdb()
    async with staged(OVMF) as stage:
        await let_run(stage.guest, cast(Gdb, gdb), planned(fault))
        assert not stage.guest.paused
    assert gdb.asked == [("attach",), ("resume", left_out)]


def test_every_ap_has_its_turn_and_the_boot_cpu_never() -> None:
    assert [victim_of(planned(ApFault.REPLAYED, seed)) for seed in range(4)] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (ApFault.WOKEN_LATE, [("stop",), ("resume",)]),
        (
            ApFault.REPLAYED,
            [
                ("stop",), ("set_breakpoint", PAGE, True), ("resume",), ("stopped",), ("set_breakpoint", PAGE, False),
                ("move_to_reset_vector", 2), ("resume",),
            ],
        ),
    ],
)  # fmt: skip
async def test_it_is_let_go_once_the_boot_cpu_waits_for_it(fault: ApFault, asked: list[Any]) -> None:
    gdb = FakeGdb()
    async with staged(OVMF) as stage:
        waiting(stage, 3)
        assert await strike(stage.guest, cast(Gdb, gdb), planned(fault), quiet_s=0.001)
    assert gdb.asked == asked


async def test_before_it_waits_nothing_is_done() -> None:
    gdb = FakeGdb()
    async with staged(OVMF) as stage:
        waiting(stage, 4)  # all have come
        assert not await strike(stage.guest, cast(Gdb, gdb), planned(ApFault.REPLAYED), quiet_s=0.0)
        assert stage.monitor.asked.count("info registers") == MOST_LOOKS
    assert gdb.asked == []


async def test_output_ends_the_asking_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(OVMF) as stage:

        async def speaks(timeout_s: float) -> bool:
            return True

        monkeypatch.setattr(stage.guest.console, "output", speaks)
        assert not await strike(stage.guest, cast(Gdb, FakeGdb()), planned(ApFault.WOKEN_LATE), quiet_s=60.0)
        assert stage.monitor.asked == []


@pytest.mark.parametrize(("halted", "struck"), [(True, True), (False, False)])
async def test_for_a_later_round_all_have_to_be_parked(halted: bool, struck: bool) -> None:
    gdb = FakeGdb()
    async with staged(OVMF) as stage:
        text = dump(1, 2, 3, 4)
        stage.monitor.answers["info"] = text if halted else text.replace("HLT=1", "HLT=0", 1)
        assert await strike(stage.guest, cast(Gdb, gdb), planned(ApFault.LATER_ROUND), quiet_s=0.0) is struck
    last = [("stop",), ("resume", [2])]
    assert gdb.asked == (last if struck else [("stop",), ("resume", [])] * MOST_LOOKS)


@pytest.mark.parametrize(
    ("serial", "asked"),
    [
        (b"", []),  # the firmware runs, and will wake them again
        (KERNEL.partition(b"[    0.526144]")[0], [("stop",), ("resume", [2])]),
        (KERNEL, []),  # the kernel has begun to wake them
    ],
)
@pytest.mark.parametrize("eip", ["000fd09a", "0000fff0"])  # SeaBIOS has parked them; qboot never woke them
async def test_behind_a_firmware_it_is_left_out_before_the_kernel_wakes_any(
    serial: bytes, asked: list[Any], eip: str
) -> None:
    gdb = FakeGdb()
    async with staged(shape(4, linux=LINUX)) as stage:
        at = dump(1, 2, 3, 4).replace("EIP=07ec9d57", f"EIP={eip}")
        stage.monitor.answers["info"] = (
            at if eip == "000fd09a" else at.replace("CS =0010 00000000", "CS =f000 ffff0000")
        )
        stage.guest.console.log.feed(serial, Stream.SERIAL)
        struck = await strike(stage.guest, cast(Gdb, gdb), planned(ApFault.LATER_ROUND), quiet_s=0.001)
        assert struck is bool(asked)
    assert gdb.asked == asked


@pytest.mark.parametrize("fails", ["attach", "resume"])
async def test_a_stub_that_does_not_let_it_run_is_our_fault(fails: str) -> None:
    async with staged(OVMF) as stage:
        with pytest.raises(RigError, match="cannot inject the fault") as raised:
            await let_run(stage.guest, cast(Gdb, FakeGdb(fails=fails)), planned(ApFault.REPLAYED))
        assert raised.value.reason == "inject"


@pytest.mark.parametrize("fails", ["stop", "stopped", "move_to_reset_vector"])
async def test_a_stub_that_fails_later_is_our_fault(fails: str) -> None:
    async with staged(OVMF) as stage:
        waiting(stage, 3)
        with pytest.raises(RigError, match="cannot inject the fault"):
            await strike(stage.guest, cast(Gdb, FakeGdb(fails=fails)), planned(ApFault.REPLAYED), quiet_s=0.001)
