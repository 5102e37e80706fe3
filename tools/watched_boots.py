"""``python -m tools.watched_boots [--each N] [--at-once N] [--ways NAME…]``: ``qstress watch`` beside healthy boots.

What is slow is slowed from its first instruction on, so that watch looks at it again and again *while it boots*: a boot
counts as seen where at least three looks fell between ``cont`` and ``Found``, which is what two judged gaps need. The
looks are those of ``qstress watch --every 1``, of the same :class:`qstress.host.watch.Watcher`; nobody is asked. A
guest is only ever healthy here, so whatever is called hung, or suspected, is a false alarm.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import anyio

from qstress.guest.live import Guest, live_guest
from qstress.host.watch import WatchedGuest, Watcher, watch_rounds
from qstress.model import Accel
from qstress.observe.guests import guest_of
from qstress.trial import inject
from qstress.verdict.outside import GuestState
from tests.live.rig import planned, stock
from tools.accuracy.load import quota

#: Looks that a boot must have had to count as seen, and that a guest gets when it is up, or stands still.
SEEN_LOOKS = 3
#: A guest that is stopped and continued runs for so long of each period.
RUNS_S, PERIOD_S = 0.01, 0.1
#: CPU microseconds in 100 ms for all threads of a guest with a quota: a twentieth of a core.
QUOTA_US = 5_000
#: A boot that is not over then is reported as such.
BOOT_S = 300.0
#: What a healthy guest may show for a while, and what it must not.
TOLD = (GuestState.BOOTING, GuestState.SUSPECT, GuestState.HUNG)
#: Below everything else that this machine does.
YIELDING = "19"
_numbers = count()

#: Is there while a guest boots: what slows it.
Slowing = Callable[[Guest], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def not_slowed(_guest: Guest) -> AsyncIterator[None]:
    """Let the guest be."""
    yield


@asynccontextmanager
async def throttled(guest: Guest) -> AsyncIterator[None]:
    """Give it a cgroup's quota of CPU time; it is dead when the group goes."""
    with quota(next(_numbers), QUOTA_US) as take:
        take(guest.process.pid)
        try:
            yield
        finally:
            await guest.end(polite=False)


@asynccontextmanager
async def interrupted(guest: Guest) -> AsyncIterator[None]:
    """Stop it and let it go on, again and again (SIGSTOP, SIGCONT)."""

    async def stop_and_go() -> None:
        while guest.process.returncode is None:
            os.kill(guest.process.pid, signal.SIGSTOP)
            await anyio.sleep(PERIOD_S - RUNS_S)
            os.kill(guest.process.pid, signal.SIGCONT)
            await anyio.sleep(RUNS_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_and_go)
        yield
        tasks.cancel_scope.cancel()
        os.kill(guest.process.pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Way:
    """A way in which a healthy guest may look hung. ``stop``: what is done to it when it is up, or in its boot."""

    name: str
    accel: Accel
    smp: int
    slowing: Slowing = not_slowed
    args: tuple[str, ...] = ()
    in_boot: str = ""
    when_up: str = ""
    slow: bool = True


def _ways() -> list[Way]:
    ways = [
        Way("throttled", Accel.KVM, 4, throttled),
        Way("throttled", Accel.TCG, 64, throttled),
        Way("interrupted", Accel.KVM, 4, interrupted),
        Way("interrupted", Accel.TCG, 64, interrupted),
        Way("crowded", Accel.KVM, 128),
        Way("crowded", Accel.TCG, 128),
        Way("single-stepped", Accel.TCG, 255, args=("-singlestep",)),
    ]
    for accel in (Accel.KVM, Accel.TCG):
        quick = partial(Way, accel=accel, smp=4, slow=False)
        plugged = partial(quick, args=("-smp", "4,maxcpus=5"))
        ways += [
            quick("idle"),
            quick("never started", in_boot="never"),
            quick("paused in its boot", in_boot="stop"),
            quick("paused", when_up="stop"),
            plugged("plugged in its boot", in_boot="plug"),
            plugged("plugged", when_up="plug"),
        ]
    return ways


@dataclass(slots=True)
class Boot:
    """One guest and the looks at it: those in its boot, and those since it is up or stands still."""

    way: Way
    guest: Guest
    began_s: float
    boot_s: float | None = None
    in_boot: int = 0
    later: int = 0
    states: Counter[GuestState] = field(default_factory=Counter)
    spun_s: float = 0.0

    def note(self, seen: WatchedGuest) -> None:
        """Book one look; threads that are not there yet make it none."""
        if not seen.guest.threads:
            return
        if self.guest.console.log.found is None:
            self.in_boot += 1
        else:
            self.later += 1
        self.states[seen.seen.state] += 1
        self.spun_s = max(self.spun_s, seen.seen.spun_s)

    @property
    def seen(self) -> bool:
        """Whether watch could judge it: a slow one, while it booted."""
        return (self.in_boot if self.way.slow else self.in_boot + self.later) >= SEEN_LOOKS


async def _meddle(guest: Guest, how: str) -> None:
    if how == "stop":
        await guest.control.execute("stop", timeout_s=60)
    elif how == "plug":
        await inject.add_the_lost_one(guest, timeout_s=60)


async def boot(way: Way, under_watch: dict[int, Boot], room: anyio.CapacityLimiter) -> Boot:
    """Boot one guest, and leave it when watch has looked at it for long enough."""
    changed = [anyio.Event()]

    def change() -> None:
        changed[0].set()

    args = ("-name", "guest=watched,debug-threads=on", *way.args)
    shape = planned(way.accel, way.smp, args=args).cell.stratum.shape
    async with room, live_guest(stock(), shape, env={}, on_change=change) as guest:
        if way.slow:
            Path(f"/proc/{guest.process.pid}/autogroup").write_text(YIELDING)
        seen = under_watch[guest.process.pid] = Boot(way, guest, anyio.current_time())
        async with way.slowing(guest):
            if way.in_boot != "never":
                await guest.cont(timeout_s=BOOT_S)
                await _meddle(guest, way.in_boot)
            with anyio.move_on_after(SEEN_LOOKS + 1 if way.in_boot in ("never", "stop") else BOOT_S):
                while guest.console.log.found is None:
                    await changed[0].wait()
                    changed[0] = anyio.Event()
                seen.boot_s = anyio.current_time() - seen.began_s
                await _meddle(guest, way.when_up)
                while seen.later < SEEN_LOOKS:
                    await anyio.sleep(0.2)
        del under_watch[guest.process.pid]
    return seen


async def watched(ways: Sequence[Way], at_once: int) -> list[Boot]:
    """Boot a guest in each of these ways, so many at once, under one watch."""
    under_watch: dict[int, Boot] = {}
    done: list[Boot] = []
    watcher = Watcher(find=lambda: filter(None, map(guest_of, list(under_watch))))

    async def keep(way: Way) -> None:
        done.append(await boot(way, under_watch, room))

    async def watch() -> None:
        async for looked in watch_rounds(watcher, every_s=1.0):
            for each in looked:
                if each.guest.pid in under_watch:
                    under_watch[each.guest.pid].note(each)

    room = anyio.CapacityLimiter(at_once)
    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        async with anyio.create_task_group() as booting:
            for way in ways:
                booting.start_soon(keep, way)
        watching.cancel_scope.cancel()
    return done


def _row(boots: Sequence[Boot]) -> str:
    def spread(values: Sequence[float], digits: int) -> str:
        if not values:
            return "-"
        return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"

    way = boots[0].way
    cells = [
        f"{way.name}, {way.accel}, -smp {way.smp}", len(boots), sum(each.seen for each in boots),
        spread([each.boot_s for each in boots if each.boot_s is not None], 1),
        spread([float(each.in_boot) for each in boots], 0),
        f"{max(each.spun_s for each in boots):.1f}",
        *(sum(state in each.states for each in boots) for state in TOLD),
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    ways = _ways()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0].partition(": ")[2])
    parser.add_argument("--each", type=int, default=18, help="boots of each way")
    parser.add_argument("--at-once", type=int, default=12, help="guests at once")
    parser.add_argument(
        "--ways", nargs="*", choices=sorted({way.name for way in ways}), help="only these; slow: the slow"
    )
    asked = parser.parse_args()
    print("| healthy guests | n | seen | boot, s | looks in it | longest spin, CPU s | booting | suspect | hung |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for way in ways:
        if way.name in asked.ways if asked.ways else way.slow:
            print(_row(anyio.run(watched, [way] * asked.each, asked.at_once)), flush=True)


if __name__ == "__main__":
    main()
