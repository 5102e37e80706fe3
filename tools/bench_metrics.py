"""What a scrape costs a hammer: part of ``make bench``."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median, quantiles

import anyio

from qstress.guest.live import live_guest
from qstress.hammer.drive import Hammer
from qstress.metrics.exporter import Exporter
from qstress.metrics.families import families
from qstress.metrics.snapshot import Snapshot, snapshot
from qstress.model import Accel, HammerSpec, Rate, Shape
from qstress.trial.replies import Replies
from tests.live.rig import stock
from tests.metrics.samples import progress, settings, tally_of
from tests.stats.samples import build, feed, verdicts

PACED = HammerSpec("info registers -a", "hmp", Rate(0.002, "500/s"))

#: Asks for argv[1], a URL, argv[2] times a second, until it is killed.
SCRAPER = """
import itertools, sys, time, urllib.request
start = time.monotonic()
for i in itertools.count():
    urllib.request.urlopen(sys.argv[1]).read()
    time.sleep(max(0, start + (i + 1) / float(sys.argv[2]) - time.monotonic()))
"""


async def scraped_hammer(accel: Accel, rounds: int, seconds: float, scrapes_per_s: int = 20) -> tuple[list[float], str]:
    """Pair a hammer of 500/s that is scraped with one that is not, on one guest of 4 vCPUs, in turn.

    The page is that of 4 builds at 16 -smp, the largest that the cardinality test knows; the guest's own run is none.

    :returns: replies a second, scraped over not scraped, one ratio a round; and the latencies, in words.
    """
    made, cells = settings([build(name) for name in "abcd"], range(1, 17))
    tally = tally_of(made, cells)
    for first in range(0, len(cells), 2):
        feed(tally, verdicts(3, 20), verdicts(0, 20), first)
    taken = 0

    def take() -> Snapshot:
        nonlocal taken
        taken += 1
        feed(tally, verdicts(1, 1), verdicts(0, 1))  # so that no rendering finds everything as it was
        return snapshot(made, tally, progress())

    rates: dict[bool, list[float]] = {True: [], False: []}
    latencies_s: dict[bool, list[float]] = {True: [], False: []}
    with Exporter(("127.0.0.1", 0), None, "bench", print) as exporter:
        hammer = Hammer(PACED, 1, Replies().add)
        up = anyio.Event()
        shape = Shape(4, "pc", accel, 32 << 20, "seabios")
        async with (
            exporter.following(take),
            live_guest(stock(), shape, monitors=1, env={}, on_change=lambda: up.set()) as guest,
        ):
            hammer.attach(guest.wires[0])
            await guest.cont()
            while guest.console.log.found is None:
                await up.wait()
                up = anyio.Event()
            for number in range(2 * rounds):
                scraped = number % 2 == (number // 2) % 2  # A B B A: a drift hits both
                rate = await _rate(hammer, seconds, f"{exporter.url}" if scraped else None, scrapes_per_s)
                latencies_s[scraped] += [sent.replied_s - sent.due_s for sent in hammer.log if sent.replied_s]
                hammer.log.clear()
                rates[scraped].append(rate)
    series = sum(len(family.samples) for family in families(snapshot(made, tally, progress())))
    words = ", ".join(
        f"{name} p50 {1e3 * median(seen):.2f} ms p99 {1e3 * quantiles(seen, n=100)[98]:.2f} ms"
        for name, seen in (("scraped", latencies_s[True]), ("not", latencies_s[False]))
    )
    rendered = f"{taken} pages of {series} series in {rounds} x {seconds:g} s"
    return [a / b for a, b in zip(rates[True], rates[False], strict=True)], f"{words}; {rendered}"


async def _rate(hammer: Hammer, seconds: float, url: str | None, scrapes_per_s: int) -> float:
    """Return replies a second over *seconds*, with a process that scrapes *url* meanwhile."""
    scraper = None
    if url is not None:
        scraper = subprocess.Popen([sys.executable, "-c", SCRAPER, url, str(scrapes_per_s)])
    before, start = hammer.count().returned, time.monotonic()
    with anyio.move_on_after(seconds):
        await hammer.run()
    rate = (hammer.count().returned - before) / (time.monotonic() - start)
    await hammer.quiesce(30)
    if scraper is not None:
        scraper.kill()
        scraper.wait()
    return rate
