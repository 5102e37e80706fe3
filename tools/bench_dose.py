"""``python -m tools.bench_dose ROUNDS FILE``: dose and response, SeaBIOS polled every 2 ms as in the report.

The dose is how long an AP is kept before its state is written back, the response how many boots lose an INIT; beside it
the duty cycle D of the window log, which by the window model is the odds of losing it. Each round boots once with each
dose. Boots are added to FILE, so that a long measurement can be made in pieces; printed is all that is in it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import anyio

from qstress.model import Accel, FindingClass, HammerSpec, Rate
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.intervals import clopper_pearson
from tests.live.rig import planned, pretending, run

DOSES_S = (0.0, 0.0001, 0.0003, 0.001)
POLLED = HammerSpec("info registers -a", "hmp", Rate(0.002, "every 2ms"))


async def boots(rounds: int, into: Path) -> None:
    """Boot *rounds* times with each dose and add a line for each boot to *into*."""
    with into.open("a") as lines:
        for number in range(rounds):
            for dose_s in DOSES_S:
                build = replace(pretending(), hold_write_s=dose_s)
                result, _ = await run(planned(Accel.KVM, build=build, hammers=(POLLED,), number=number))
                verdict = result.verdict
                line = [dose_s, verdict.outcome.counted, verdict.finding_class, result.duty_cycle]
                lines.write(json.dumps(line) + "\n")
                lines.flush()


def table(path: Path) -> str:
    """Return what the boots in *path* say, a line a dose."""
    seen = [json.loads(line) for line in path.read_text().splitlines()]
    lines, none = [], Table(0, 0, 0, 0)
    for dose_s in DOSES_S:
        counted = [(finding, duty) for dose, counts, finding, duty in seen if dose == dose_s and counts]
        n, k = len(counted), sum(finding == FindingClass.LOST_INIT for finding, _ in counted)
        none = none if none.n_b else Table(0, 0, k, n)
        low, high = clopper_pearson(k, n)
        duty = fmean([duty for _, duty in counted if duty is not None])
        more = fisher_greater(none._replace(k_a=k, n_a=n))
        lines.append(
            f"hold {dose_s * 1e6:5.0f} us  lost-init {k:3}/{n:3} = {k / n:.2f} ({low:.2f}-{high:.2f})  D {duty:.2f}  "
            f"more than without a hold by chance: p = {more:.1e}"
        )
    return "\n".join(lines)


def main() -> None:
    """Boot, then print everything so far."""
    rounds, path = int(sys.argv[1]), Path(sys.argv[2])
    anyio.run(boots, rounds, path)
    print(table(path))


if __name__ == "__main__":
    main()
