"""A closer look through a scripted monitor: what is asked, in which order, and what of an AP is left alone. Living
guests are in tests/live/test_examine.py."""

from __future__ import annotations

import os
from collections.abc import Callable

import anyio
import pytest

from qstress.errors import GuestError
from qstress.firmware.streams import Stream
from qstress.guest.qmp import MonitorSilent
from qstress.model import Accel, WaitLoop
from qstress.observe import usage
from qstress.trial.examine import LOOKS, UNTOUCHED, ClosedLook, examine, examine_stall, out_of_band_answers
from qstress.verdict.limits import Limits
from tests.firmware.test_ovmf import PAIR
from tests.firmware.test_ovmf_wait import LOOPS, SENT, dump
from tests.samples import shape
from tests.trial.fakes import Stage, staged
from tests.trial.test_boot_cpu import LOOP, Monitor, memory

LIMITS = Limits(quiet_s=10.0, settle_s=0.001, gap_s=0.001, watch_s=0.001, reply_s=1.0, boot_s=60.0)
KVM, TCG = shape(2, Accel.KVM), shape(2, Accel.TCG)
ELSEWHERE = LOOP + 0x1000
RESET = "CS =f000 ffff0000 0000ffff 00009b00"
FLAT = "CS =0008 00000000 ffffffff 00cf9b00"


def cpu(index: int, eip: int, cs: str = FLAT, *, halted: int = 0, flags: str = "00000202") -> str:
    """One vCPU of a register dump."""
    return (
        f"\r\nCPU#{index}\r\nEAX=00000000 EBX=00000002 ECX=00000000 EDX=00000000\r\n"
        f"EIP={eip:08x} EFL={flags} [-------] CPL=0 II=0 A20=1 SMM=0 HLT={halted}\r\n{cs} DPL=0 CS32 [-RA]\r\n"
    )


LOST_AP = cpu(1, 0xFFF0, RESET)


def scripted(stage: Stage, boot_cpu: str, aps: str = LOST_AP, *, found: int = 1) -> None:
    """Have the guest's boot CPU, its APs and its count of CPUs look so."""
    code = Monitor(LOOP, found=found)
    stage.monitor.answers |= {
        "query-cpus-fast": [{"cpu-index": index, "thread-id": os.getpid()} for index in (0, 1)],
        "info registers": boot_cpu,
        "info registers -a": boot_cpu + aps,
        "info lapic": "ICR\t 0x000c4610 physical edge de-assert\r\n",
        "xp": lambda line: memory(int(line.split()[-1], 16), bytes(128)) if "/128xb" in line else code.answer(line),
        "x": "0x000ee2e1:  pause\r\n",
    }


async def looked_at(stage: Stage, *, silent_s: float = 0.0, limits: Limits = LIMITS) -> ClosedLook:
    return await examine(stage.guest, limits, heard_s=anyio.current_time() - silent_s, clock_zero_s=0.0)


@pytest.mark.parametrize("of", [KVM, TCG], ids=["kvm", "tcg"])
async def test_a_boot_cpu_that_waits_is_looked_at_first_and_the_aps_last(of: object) -> None:
    async with staged(KVM if of is KVM else TCG) as stage:
        scripted(stage, cpu(0, LOOP))
        look = await looked_at(stage)
    seen = look.examination
    assert seen.waited == seen.wait_loop == WaitLoop(2, 1, LOOP)
    assert seen.sipi_sent == "000c4610"
    assert (seen.lost, len(look.dumps), seen.progressed) == ((1,), 2, False)
    asked = stage.monitor.asked
    assert asked[:3] == ["query-cpus-fast", "query-status", "info registers"]
    assert [line for line in asked if line.startswith("info")] == [
        "info registers", "info lapic", "info registers -a", "info registers -a", "info lapic 1",
    ]  # fmt: skip
    assert asked[-1] == f"x /10i {LOOP:#x}"
    assert [command for command, _ in look.replies] == ["info lapic", "info lapic 1", f"x /10i {LOOP:#x}"]
    assert look.notes["runstate"] == "running"


async def test_a_guest_that_does_not_run_is_not_touched() -> None:
    async with staged(KVM) as stage:
        scripted(stage, cpu(0, LOOP))
        stage.monitor.answers["query-status"] = {"running": False, "status": "paused"}
        look = await looked_at(stage)
    assert stage.monitor.asked == ["query-cpus-fast", "query-status"]
    assert (look.examination.running, look.examination.runstate, look.dumps) == (False, "paused", ())


@pytest.mark.parametrize(
    ("of", "boot_cpu", "silent_s", "dumps"),
    [
        (KVM, cpu(0, ELSEWHERE), 0.0, 0),
        (KVM, cpu(0, ELSEWHERE), UNTOUCHED * LIMITS.quiet_s, 2),
        (KVM, cpu(0, ELSEWHERE, halted=1, flags="00000002"), 0.0, 2),
        (KVM, cpu(0, ELSEWHERE, halted=1), 0.0, 0),
        (TCG, cpu(0, ELSEWHERE), 0.0, 2),
    ],
    ids=["it may yet wake them", "long silent", "halted for ever", "halted", "tcg"],
)
async def test_aps_are_left_alone_where_a_dump_could_move_one(
    of: object, boot_cpu: str, silent_s: float, dumps: int
) -> None:
    async with staged(KVM if of is KVM else TCG) as stage:
        scripted(stage, boot_cpu)
        look = await looked_at(stage, silent_s=silent_s)
    assert len(look.dumps) == dumps
    assert look.examination.dumped is (dumps == 2)
    assert stage.monitor.asked.count("info registers") == LOOKS
    assert any(line.startswith("xp /128xb") for line in stage.monitor.asked)
    assert look.examination.code == bytes(128)


async def test_one_that_is_seen_waiting_late_was_in_a_subroutine() -> None:
    async with staged(KVM) as stage:
        scripted(stage, cpu(0, LOOP))
        looks = iter([cpu(0, ELSEWHERE), cpu(0, ELSEWHERE), cpu(0, LOOP)])
        stage.monitor.answers["info registers"] = lambda line: next(looks)
        look = await looked_at(stage)
    assert len(look.examination.boot_cpu) == 3
    assert look.examination.waited is not None
    assert look.examination.code == b""


def prints_at(stage: Stage, command: str, answer: object) -> Callable[[str], object]:
    def speaks(line: str) -> object:
        os.write(stage.guest.console.write_fds[Stream.DEBUG], b"x\n")
        return answer(line) if callable(answer) else answer

    stage.monitor.answers[command] = speaks
    return speaks


@pytest.mark.parametrize(("command", "dumps"), [("info registers", 0), ("info lapic", 0), ("info registers -a", 2)])
async def test_a_guest_that_speaks_meanwhile_moves(command: str, dumps: int) -> None:
    async with staged(TCG) as stage:
        scripted(stage, cpu(0, ELSEWHERE))
        prints_at(stage, command, stage.monitor.answers[command])
        look = await looked_at(stage)
    assert look.examination.progressed
    assert len(look.dumps) == dumps
    if command == "info registers":
        assert stage.monitor.asked.count("info registers") == 1


async def test_an_ap_that_was_counted_meanwhile_moves() -> None:
    async with staged(TCG) as stage:
        scripted(stage, cpu(0, LOOP))
        first = stage.monitor.answers["xp"]
        assert callable(first)
        counts = iter([first, Monitor(LOOP, found=2).answer])
        stage.monitor.answers["xp"] = lambda line: next(counts)(line) if "/4xb" in line else first(line)
        look = await looked_at(stage)
    assert look.examination.progressed
    assert look.examination.wait_loop == WaitLoop(2, 2, LOOP)
    assert look.dumps == ()


async def test_a_monitor_without_an_answer_ends_the_look() -> None:
    async with staged(TCG) as stage:
        scripted(stage, cpu(0, LOOP))
        stage.monitor.answers["info registers -a"] = MonitorSilent("no reply")
        with pytest.raises(GuestError, match="no reply"):
            await looked_at(stage)


# ---- a silent monitor


async def test_out_of_band_commands_are_answered_or_not() -> None:
    async with staged(TCG) as stage:
        assert await out_of_band_answers(stage.guest, timeout_s=1.0)
        stage.monitor.answers["query-yank"] = MonitorSilent("no reply")
        assert not await out_of_band_answers(stage.guest, timeout_s=1.0)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_stall_is_looked_at_with_all_of_qemus_threads(answers: bool) -> None:
    async with staged(TCG) as stage:
        if not answers:
            stage.monitor.answers["query-yank"] = MonitorSilent("no reply")
        look = await examine_stall(stage.guest, timeout_s=0.001)
    assert look.oob_answers is answers
    assert look.process_state in ("R", "S")
    assert len(look.threads) == len(usage.threads_of(os.getpid()))


async def test_a_later_round_names_the_aps_that_were_not_woken() -> None:
    words = b"".join(b"STAP" if number == 2 else bytes(4) for number in range(4))
    code = bytes.fromhex(LOOPS["IA32 PEI, 2022.11 4M"][0])
    eip = 0x7EC9D57  # as ``dump`` has it, 17 bytes into the loop

    def memory_of(line: str) -> str:
        size, address = int(line.split("/")[1].split("xb")[0]), int(line.split()[-1], 16)
        at = 32 - 17 if address == eip - 32 else 0
        return memory(address, (bytes(at) + (code if at else words)).ljust(size, b"\0")[:size])

    async with staged(shape(4, firmware="ovmf", pflash=PAIR)) as stage:
        picture = dump(0x3B7BF58, 0x7EBFFAC, 0x7EAFFAC, 0x7EB7FAC).replace("EDI=00000000", "ECX=07ec0008")
        stage.monitor.answers |= {
            "query-cpus-fast": [{"cpu-index": index, "thread-id": os.getpid()} for index in range(4)],
            "info registers": picture.split("\r\nCPU#1")[0],
            "info registers -a": picture,
            "info lapic": SENT,
            "xp": memory_of,
            "x": "0x07ec9d57:  jmp\r\n",
        }
        seen = (await looked_at(stage)).examination
    assert seen.waited == WaitLoop(4, 3, eip, later=True)
    assert seen.wait_loop == WaitLoop(4, 3, eip, later=True, unwoken=(3,))
    assert seen.lost == ()
