"""``make bench``: what qstress itself costs, as ratios within one run. Not a test: nothing here passes or fails.

Each figure pairs qstress with the barest loop that does the same work, in turn (A B A B …), so that a drift of this
host hits both; printed are the median ratio, n and the spread.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from statistics import median

import anyio

from qstress.config.kvm import probe
from qstress.guest.argv import guest_arguments
from qstress.guest.live import live_guest
from qstress.hammer.drive import Hammer
from qstress.model import Accel, Outcome, Shape
from qstress.registers import parse
from qstress.trial.context import TrialContext
from qstress.trial.process_run import run_trial
from qstress.trial.replies import Replies
from tests.live.rig import HAMMER, planned, stock
from tools.bench_metrics import scraped_hammer

_BARE = re.compile(r"CPU#(\d+)\r\n.*?[ER]IP=([0-9a-f]+) .*?HLT=(\d).*?CS =([0-9a-f]{4}) ([0-9a-f]+)", re.DOTALL)


def report(name: str, ratios: list[float], aim: str, detail: str = "") -> None:
    """Print one figure with its spread."""
    spread = f"{min(ratios):.3f}-{max(ratios):.3f}"
    print(f"{name:<60} {median(ratios):7.3f}  (n={len(ratios)}, {spread})  aim {aim}  {detail}")


class BareLoop:
    """A blocking QMP client in plain Python that decodes the JSON and extracts EIP, CS and HLT."""

    def __init__(self, connection: socket.socket) -> None:
        self.stream = connection.makefile("rwb")
        self.stream.readline()
        self.ask(b'{"execute": "qmp_capabilities"}\n')

    def ask(self, line: bytes) -> str:
        self.stream.write(line)
        self.stream.flush()
        while True:
            message = json.loads(self.stream.readline())
            if "return" in message:
                return str(message["return"])

    def rate(self, seconds: float) -> float:
        line = b'{"execute": "human-monitor-command", "arguments": {"command-line": "info registers -a"}}\n'
        count, start = 0, time.monotonic()
        while time.monotonic() < start + seconds:
            vcpus = _BARE.findall(self.ask(line))
            assert vcpus
            count += 1
        return count / (time.monotonic() - start)


async def hammer_rate(accel: Accel, smp: int, rounds: int, seconds: float) -> None:
    """Hammer rate with judging on, against the bare loop on the same guest."""
    ours, theirs = socket.socketpair()
    shape = Shape(smp, "pc", accel, 32 << 20, "seabios", (
        "-chardev", f"socket,id=bare,fd={theirs.fileno()}", "-mon", "chardev=bare,mode=control",
    ))  # fmt: skip
    replies = Replies()
    hammer = Hammer(HAMMER, 1, replies.add)
    changed = [anyio.Event()]
    ratios, rates = [], []
    async with live_guest(
        stock(), shape, monitors=1, env={}, on_change=lambda: changed[0].set(), pass_fds=(theirs.fileno(),)
    ) as guest:
        theirs.close()
        hammer.attach(guest.wires[0])
        await guest.cont()
        while guest.console.log.found is None:
            await changed[0].wait()
            changed[0] = anyio.Event()
        bare = BareLoop(ours)
        for _ in range(rounds):
            before = hammer.count().returned
            start = time.monotonic()
            with anyio.move_on_after(seconds):
                await hammer.run()
            rate = (hammer.count().returned - before) / (time.monotonic() - start)
            await hammer.quiesce(30)
            rates.append(rate)
            ratios.append(rate / bare.rate(seconds))
        ours.close()
    if accel is Accel.TCG:
        parse_time(smp, replies.raw[-1][1])
    report(f"hammer rate, judged / bare loop, {accel} -smp {smp}", ratios, ">= 0.95", f"{median(rates):.0f}/s")


def bare_boot(accel: Accel, smp: int) -> None:
    """Spawn, boot to Found, kill: the least that a boot can cost."""
    read_fd, write_fd = os.pipe()
    argv = guest_arguments(stock(), Shape(smp, "pc", accel, 32 << 20, "seabios"))
    console = (
        *("-add-fd", f"fd={write_fd},set=1", "-chardev", "file,id=c,path=/dev/fdset/1,append=on"),
        *("-device", "isa-debugcon,iobase=0x402,chardev=c", "-sandbox", "on"),
    )
    process = subprocess.Popen([*argv, *console], pass_fds=(write_fd,), stderr=subprocess.DEVNULL)
    os.close(write_fd)
    seen = b""
    while b" cpu(s) max supported" not in seen:
        seen += os.read(read_fd, 65536)
    process.kill()
    process.wait()
    os.close(read_fd)


async def trial_rate(accel: Accel, smp: int, rounds: int, each: int) -> None:
    """Trials per second with nothing hammering, one lane, against the bare loop."""
    ratios, rates = [], []
    for _ in range(rounds):
        start = time.monotonic()
        for number in range(each):
            result = (await run_trial(planned(accel, smp, hammers=(), number=number), TrialContext())).result
            assert result.verdict.outcome is Outcome.OK
        middle = time.monotonic()
        for _ in range(each):
            bare_boot(accel, smp)
        ours_s, bare_s = middle - start, time.monotonic() - middle
        rates.append(each / ours_s)
        ratios.append(bare_s / ours_s)
    report(
        f"trials/s, hammer off / bare spawn-boot-kill, {accel} -smp {smp}", ratios, ">= 0.95", f"{median(rates):.1f}/s"
    )


async def cpu_share(accel: Accel, smp: int, rounds: int) -> None:
    """qstress's CPU time as a share of QEMU's over hammered trials, start and end of the guests included."""
    shares = []
    for number in range(rounds):
        children = os.times()
        ours_s = time.process_time()
        await run_trial(planned(accel, smp, number=number), TrialContext())
        after = os.times()
        qemu_s = after.children_user + after.children_system - children.children_user - children.children_system
        shares.append((time.process_time() - ours_s) / qemu_s)
    report(f"CPU of qstress / CPU of QEMU, hammered, {accel} -smp {smp}", shares, "<= 0.10")


def parse_time(smp: int, reply: bytes, rounds: int = 200) -> None:
    """Time to parse one reply as it came over the wire."""
    assert len(parse(reply).vcpus) == smp
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        parse(reply)
        times.append(time.perf_counter() - start)
    print(f"{f'parse one dump, -smp {smp}':<60} {median(times) * 1e6:7.0f} us (n={rounds}, {len(reply)} bytes)")


async def main() -> None:
    """Print every figure that this host can make."""
    accels = [Accel.TCG] + ([Accel.KVM] if probe().usable else [])
    for accel in accels:
        for smp in (4, 64):
            await hammer_rate(accel, smp, rounds=7, seconds=1.0)
    for accel in accels:
        await cpu_share(accel, 4, rounds=15)
        await trial_rate(accel, 4, rounds=7, each=10)
    ratios, detail = await scraped_hammer(Accel.TCG, rounds=3, seconds=30)
    report("hammer paced at 500/s, scraped 20 times a second / not", ratios, "0.99-1.01", detail)


if __name__ == "__main__":
    anyio.run(main)
