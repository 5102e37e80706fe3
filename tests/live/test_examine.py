"""A closer look at living guests that stand still for different reasons, and what the judge makes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from qstress.errors import GuestError
from qstress.firmware.seabios import BootLog
from qstress.guest.live import Guest, live_guest
from qstress.guest.qmp import MonitorSilent
from qstress.model import Accel, Confidence, FindingClass, Milestone, Outcome, Verdict
from qstress.trial import inject
from qstress.trial.examine import examine, examine_stall, out_of_band_answers
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import LOOP_RESETS, Situation, assess, stalled
from qstress.verdict.limits import Limits, limits
from tests.live.rig import planned, stock
from tools.accuracy.roms import Doing

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]
SHAPE = planned(Accel.TCG, 2).cell.stratum.shape
LIMITS = limits(SHAPE)
ACCELS = [
    pytest.param(Accel.TCG, id="tcg"),
    pytest.param(Accel.KVM, id="kvm", marks=pytest.mark.kvm),
]


class Changes:
    """Rung by a guest when something happened to it."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = anyio.Event()


async def booted(guest: Guest, changes: Changes) -> None:
    await guest.cont()
    while guest.console.log.found is None:
        await changes.wait()


@asynccontextmanager
async def paused_rom(folder: Path, start: bytes, *args: str) -> AsyncIterator[Guest]:
    """The guest of :func:`running_rom`, not yet told to run, whose QEMU has *args*, too."""
    rom = bytearray(b"\xf4" * 65536)
    rom[: len(start)] = start
    rom[0xFFF0:0xFFF5] = b"\xea\x00\x00\x00\xf0"
    (folder / "rom.bin").write_bytes(rom)
    shape = replace(SHAPE, firmware=str(folder / "rom.bin"), args=args)
    async with live_guest(stock(), shape, env={}, on_change=lambda: None) as guest:
        yield guest


@asynccontextmanager
async def running_rom(folder: Path, start: bytes) -> AsyncIterator[Guest]:
    """A guest whose firmware is our own few bytes: from the reset vector it jumps to f000:0000, where *start* is."""
    async with paused_rom(folder, start) as guest:
        await guest.cont()
        yield guest


async def test_a_guest_that_is_up_is_seen_running_and_not_waiting() -> None:
    changes = Changes()
    async with live_guest(stock(), SHAPE, env={}, on_change=changes.ring) as guest:
        await booted(guest, changes)
        look = await examine(guest, LIMITS, heard_s=guest.console.last_output_s, clock_zero_s=anyio.current_time())
        seen = look.examination
        assert (seen.running, seen.runstate, seen.wait_loop) == (True, "running", None)
        assert {vcpu.index for vcpu in seen.boot_cpu} == {0}
        assert [thread.index for thread in seen.quiet] == [0, 1]
        if not seen.progressed:
            assert [vcpu.index for vcpu in seen.after.vcpus] == [0, 1]
            assert seen.usage[1].share < 0.05
            assert len(look.dumps) == 2
            assert look.dumps[1][0] - look.dumps[0][0] >= LIMITS.gap_s


async def test_a_paused_guest_is_seen_paused_and_nothing_of_it_is_touched() -> None:
    async with live_guest(stock(), SHAPE, env={}, on_change=lambda: None) as guest:
        look = await examine(guest, LIMITS, heard_s=guest.console.last_output_s, clock_zero_s=0.0)
        assert not look.examination.running
        assert look.examination.runstate == "prelaunch"
        assert (look.dumps, look.replies) == ((), ())


@pytest.mark.parametrize("smp", [2, 4, 64])
@pytest.mark.parametrize("accel", ACCELS)
async def test_an_ap_that_smpscan_left_out_is_lost_for_certain(accel: Accel, smp: int) -> None:
    changes = Changes()
    shape = planned(accel, smp, firmware="smpscan").cell.stratum.shape
    async with live_guest(stock(), shape, env={}, lost_every=1, on_change=changes.ring) as guest:
        await guest.cont()
        verdict = Verdict(Outcome.UNKNOWN, "")
        while verdict.confidence is not Confidence.CERTAIN or verdict.outcome is Outcome.UNKNOWN:
            if not guest.console.log.stuck:
                await changes.wait()
                continue
            look = await examine(guest, limits(shape), heard_s=guest.console.last_output_s, clock_zero_s=0.0)
            verdict = diagnose(look.examination, guest.console.log)
        seen = look.examination
        assert verdict.finding_class is FindingClass.LOST_INIT
        assert seen.lost == (smp - 1,)
        assert bool(seen.sipi_sent) is (smp > 2)  # to the others
        assert seen.asleep(smp - 1)
        assert seen.waited is not None
        assert (seen.waited.expected, seen.waited.found) == (smp, smp - 1)
        commands = [command for command, _ in look.replies]
        assert commands[:2] == ["info lapic", f"info lapic {smp - 1}"]
        assert commands[2].startswith("x /10i ")
        assert "0x000f" in look.replies[2][1]  # the wait loop, or what it calls


async def test_a_count_that_nobody_can_reach_is_a_bsp_spin() -> None:
    """SeaBIOS is told of one vCPU more than there is, and nobody plugs it in."""
    shape = replace(SHAPE, smp=3)
    changes = Changes()
    async with live_guest(stock(), shape, env={}, lost_every=1, on_change=changes.ring) as guest:
        await inject.expect_one_more(guest, timeout_s=30)
        await guest.cont()
        while not await inject.is_due(guest, quiet_s=0.05):
            await changes.wait()
        look = await examine(guest, LIMITS, heard_s=guest.console.last_output_s, clock_zero_s=0.0)
        while not look.examination.spins:  # however busy the host is
            look = await examine(guest, LIMITS, heard_s=guest.console.last_output_s, clock_zero_s=0.0)
        verdict = diagnose(look.examination, guest.console.log)
        assert (verdict.finding_class, verdict.confidence) == (FindingClass.BSP_SPIN, Confidence.CERTAIN)
        assert "waits for 3 vCPUs and has 2" in verdict.title


@pytest.mark.kvm
async def test_under_kvm_the_aps_of_a_boot_cpu_that_may_yet_wake_them_are_left_alone() -> None:
    shape = replace(SHAPE, accel=Accel.KVM, smp=4)
    changes = Changes()
    async with live_guest(stock(), shape, env={}, on_change=changes.ring) as guest:
        await guest.cont()
        while guest.console.log.milestone < Milestone.BANNER:
            await changes.wait()
        look = await examine(guest, limits(shape), heard_s=guest.console.last_output_s, clock_zero_s=0.0)
        assert look.examination.waited is None
        assert look.dumps == ()
        assert diagnose(look.examination, guest.console.log).confidence is Confidence.INCONCLUSIVE
        silent = replace(limits(shape), quiet_s=0.0)
        if not guest.console.log.found:
            assert len((await examine(guest, silent, heard_s=guest.console.last_output_s, clock_zero_s=0.0)).dumps) in (
                0,
                2,
            )


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"\xfa\xf4\xeb\xfd", FindingClass.ALL_HALTED), (b"\xf3\x90\xeb\xfc", FindingClass.LIVELOCK)],
    ids=["cli-hlt", "pause-jmp"],
)
async def test_halted_and_looping_code_is_told_apart_and_claimed_of_known_firmware_only(
    tmp_path: Path, start: bytes, kind: FindingClass
) -> None:
    async with running_rom(tmp_path, start) as guest:
        while True:  # until it is there, however busy the host is
            seen = (await examine(guest, LIMITS, heard_s=guest.console.last_output_s, clock_zero_s=0.0)).examination
            there = not seen.boot_cpu[0].at_reset_vector and not seen.moved
            if there and seen.spins is (kind is FindingClass.LIVELOCK) and not seen.starved(1):
                break
        assert diagnose(seen, guest.console.log).outcome is Outcome.UNKNOWN
        verdict = diagnose(replace(seen, known_firmware=True), BootLog())
        assert verdict.finding_class is kind
        assert "code=" in verdict.signature


async def test_a_triple_fault_at_every_start_is_a_reset_loop(tmp_path: Path) -> None:
    async with running_rom(
        tmp_path, b"\x2e\x0f\x01\x1e\x08\x00\xcc\xf4" + bytes(6)
    ) as guest:  # lidt with limit 0, int3
        while guest.resets < LOOP_RESETS:
            await anyio.sleep(0.001)
        now_s = anyio.current_time()
        situation = Situation(
            now_s, now_s, 2, now_s, None, "", guest.resets, False, None, known_firmware=False, goes_on=True
        )
        verdict = assess(situation, guest.console.log, LIMITS)
        assert isinstance(verdict, Verdict)
        assert verdict.finding_class is FindingClass.RESET_LOOP


async def test_while_the_big_lock_is_kept_only_out_of_band_commands_are_answered(tmp_path: Path) -> None:
    """The guest's first byte goes into a full pipe: its vCPU tries again and again with the lock, for which the main
    loop waits."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    chardev = f"file,id=full,path=/proc/{os.getpid()}/fd/{theirs},append=on"
    args = ("-chardev", chardev, "-device", "isa-debugcon,iobase=0x403,chardev=full")
    async with paused_rom(tmp_path, Doing.FILL_PIPE.value, *args) as guest, anyio.create_task_group() as tasks:
        tasks.start_soon(guest.cont)  # the reply may come once the lock is free
        with suppress(MonitorSilent):
            while True:
                await guest.control.execute("query-status", timeout_s=0.2)
        look = await examine_stall(guest, timeout_s=5.0)
        os.close(ours)
        os.close(theirs)
    verdict = stalled(
        look.process_state, oob_answers=look.oob_answers, waited_s=1.0, log=BootLog(), threads=look.threads
    )
    assert verdict.signature.startswith("monitor-stall/main-loop/")
    assert "futex" in verdict.because[-1]


async def test_a_stopped_qemu_answers_neither_in_band_nor_out_of_band() -> None:
    async with live_guest(stock(), SHAPE, env={}, on_change=lambda: None) as guest:
        assert await out_of_band_answers(guest, timeout_s=30)
        alive = await examine_stall(guest, timeout_s=0.1)
        assert alive.oob_answers
        assert alive.process_state in ("R", "S")
        assert len(alive.threads) >= 3  # main loop and two vCPUs
        guest.process.send_signal(signal.SIGSTOP)
        tasks = [path / "stat" for path in Path(f"/proc/{guest.process.pid}/task").iterdir()]
        while any(task.read_text().rpartition(")")[2].split()[0] != "T" for task in tasks):  # one after the other
            await anyio.sleep(0.001)
        stopped = await examine_stall(guest, timeout_s=0.2)
        assert (stopped.oob_answers, stopped.process_state) == (False, "T")
        short = Limits(0.1, 0.1, 0.1, 2.0, 0.2, 1.0)
        with pytest.raises(GuestError):
            await examine(guest, short, heard_s=guest.console.last_output_s, clock_zero_s=0.0)
