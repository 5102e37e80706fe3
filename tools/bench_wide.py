"""Part of ``make bench``: what one reply costs qstress as guests become wider, and whether that stays linear.

Guests run under TCG, where any host can have 255 vCPUs; they are in the ROM's storm, so that the vCPUs' states vary
from reply to reply as they do in a boot. Not a test: nothing here passes or fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import anyio

from qstress.firmware.rom import find_rom
from qstress.firmware.smpscan import SmpscanOptions, option_arguments
from qstress.firmware.smpscan_console import SmpscanProgress
from qstress.guest.live import live_guest
from qstress.hammer.drive import Hammer
from qstress.model import Accel, Milestone, Outcome, Shape
from qstress.registers import parse
from qstress.trial.replies import Replies
from qstress.trial.result import states_over_time
from tests.live.rig import HAMMER, planned, run, stock

WIDTHS = (4, 16, 64, 128, 255)
SECONDS = 3.0
ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Cost:
    """What one width costs; times in microseconds. ``cpu`` is all of qstress's CPU time for one hammered reply, of
    which ``parse`` is a part; ``states`` sums one observation up for a report; ``console`` reads the report of all APs
    missing. ``detected_s`` is how long a lost AP took to be found, from the last sign of life on."""

    smp: int
    reply_bytes: int
    replies: int
    cpu: float
    parse: float
    states: float
    console: float
    detected_s: float


async def cost(smp: int) -> Cost:
    """Hammer one guest, then lose its last AP."""
    storm = SmpscanOptions(deadline_us=10_000_000, payload="storm")
    shape = Shape(smp, "pc", Accel.TCG, 32 << 20, str(find_rom("smpscan")), option_arguments(storm))
    kept = Replies()
    replies: list[bytes] = []

    def replied(reply: bytes, at_s: float) -> None:
        kept.add(reply, at_s)
        if len(replies) < ROUNDS:
            replies.append(reply)

    hammer = Hammer(HAMMER, 1, replied)
    async with live_guest(stock(), shape, monitors=1, env={}, on_change=lambda: None) as guest:
        hammer.attach(guest.wires[0])
        await guest.cont()
        while not guest.console.text.endswith(b"()"):
            await anyio.sleep(0.01)
        began_s = time.process_time()
        with anyio.move_on_after(SECONDS):
            await hammer.run()
        await hammer.quiesce(60)
        cpu_s = time.process_time() - began_s
    seen = [parse(reply) for reply in replies]
    assert all(len(observation.vcpus) == smp for observation in seen)
    lost, _ = await run(planned(Accel.TCG, smp, firmware="smpscan", lost_ap=True))
    assert lost.verdict.outcome is Outcome.HANG
    assert f"CPU#{smp - 1}" in lost.verdict.title
    missing = b"smpscan 1 cpus=%d ids=%d khz=1 rounds=0\n(missing %d:" % (smp, smp, smp - 1)
    missing += b"".join(b" %x" % apic_id for apic_id in range(1, smp)) + b"\n"
    return Cost(
        smp=smp,
        reply_bytes=len(replies[-1]),
        replies=hammer.count().returned,
        cpu=cpu_s / hammer.count().returned * 1e6,
        parse=median(timed(lambda reply=reply: parse(reply)) for reply in replies),  # type: ignore[misc]
        states=timed(lambda: states_over_time(seen)) / len(seen),
        console=timed(lambda: console(missing)),
        detected_s=lost.detection_s or 0.0,
    )


def console(said: bytes) -> None:
    """Read a whole bring-up."""
    boot = SmpscanProgress()
    boot.feed(said)
    assert boot.milestone is Milestone.PCI
    assert boot.stuck


def timed(work: Callable[[], object], rounds: int = 5) -> float:
    """Return the median microseconds that *work* takes."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times) * 1e6


async def main() -> None:
    """Print the table, and each cost a vCPU at 255 vCPUs against 16."""
    print("  smp  reply bytes  replies   CPU us/reply   parse us   states us  console us   lost AP found, s")
    costs = []
    for smp in WIDTHS:
        each = await cost(smp)
        costs.append(each)
        print(
            f"{each.smp:5} {each.reply_bytes:12} {each.replies:8} {each.cpu:14.0f} {each.parse:10.0f} "
            f"{each.states:11.1f} {each.console:11.0f} {each.detected_s:18.2f}"
        )
    few, many = costs[1], costs[-1]
    ratios = {
        name: getattr(many, name) / many.smp / (getattr(few, name) / few.smp)
        for name in ("cpu", "parse", "states", "console")
    }
    told = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    print(f"cost a vCPU at {many.smp} over that at {few.smp} (1: linear): {told}")


if __name__ == "__main__":
    anyio.run(main)
