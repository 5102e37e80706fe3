"""``python -m tools.accuracy``: carry out labelled trials, print a table; exit 1 when any verdict was wrong.

At full size this takes hours, so it can be done in pieces. With ``--into FILE`` all that is booked is appended to FILE,
at least every half a minute, and what FILE holds already is not done again: the same command goes on after an
interruption, and ``--scale 0.1``, then ``--scale 1`` does a tenth of every kind before the rest of any.

With ``--host emulated`` all of it happens inside an emulated host, where nothing is kept but what is printed, and
``--beneath N`` oversubscribes this machine meanwhile: what the inside cannot see.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import anyio

import qstress
from qstress.cli.emulated import kernel_of
from qstress.config.kvm import probe
from qstress.emulated.command import Machine
from qstress.emulated.inside import run_inside, without_host
from qstress.report import accuracy
from qstress.report.accuracy import Accuracy, FalseAlarms
from tools.accuracy.in_place import HEALTHY_IN_PLACE, LOST_IN_PLACE
from tools.accuracy.kept import append, merged, to_line
from tools.accuracy.linux import LINUX
from tools.accuracy.load import hogs
from tools.accuracy.meddled import MEDDLED
from tools.accuracy.ovmf import BOOTED
from tools.accuracy.parts import Part, parts_of, rows_of, tell
from tools.accuracy.processes import DESIGNED, HEALTHY_BOOTS, LOST_IN_BOOT
from tools.accuracy.raced import RACED
from tools.accuracy.stuck import STUCK
from tools.accuracy.table import Grade, Row, left, table

#: What takes longest for what it shows comes last: a livelock is believed after half of what a boot may take.
KINDS = sorted(
    (
        *HEALTHY_IN_PLACE,
        *LOST_IN_PLACE,
        *HEALTHY_BOOTS,
        *LOST_IN_BOOT,
        *BOOTED,
        *MEDDLED,
        *STUCK,
        *DESIGNED,
        *RACED,
        *LINUX,
    ),  # fmt: skip
    key=lambda kind: kind.fault == "livelock",
)
#: What ``--part`` selects: one lane on an idle host, which is how latency is measured; more lanes; the hogs.
PARTS = ("timed", "plain", "loaded")


#: Where reports find what was measured, and of which groups.
FIGURES = Path(accuracy.__file__).with_suffix(".json")
STATED = ("smpscan", "SeaBIOS", "OVMF", "Linux")


def false_alarms(rows: Iterable[Row]) -> list[FalseAlarms]:
    """Return the false alarms among *rows* of healthy guests, for each firmware that reports speak of."""
    healthy = [row for row in rows if row.name.startswith("healthy, ")]
    members = [(name, [row for row in healthy if row.group == name]) for name in STATED]
    return [
        FalseAlarms(
            name, sum(row.alarms for row in of), sum(row.faultless for row in of),
            sum(row.faultless for row in of if row.loaded),
        )
        for name, of in members
        if any(row.faultless for row in of)
    ]  # fmt: skip


async def carry_out(parts: Sequence[Part]) -> bool:
    """Run all parts one after another; return whether a signal ended that."""
    async with anyio.create_task_group() as tasks:

        async def obey_signals() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(obey_signals)
        for part in parts:
            await part.run()
        tasks.cancel_scope.cancel()
        return False
    return True


def part_name(part: Part) -> str:
    """Return which of :data:`PARTS` this is one of."""
    return "loaded" if part.loaded else "timed" if part.kind.timed else "plain"


def revision() -> str:
    """Return what the verdicts come from: a commit, or the version where there is none."""
    argv = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return said.stdout.strip() or qstress.__version__


def arguments() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m tools.accuracy", description=__doc__)
    made.add_argument("--scale", type=float, default=1.0, help="size; 1.0 takes hours (default), 0.01 is a try-out")
    made.add_argument("--loaded", type=float, default=0.2, help="share of trials under 8x load (default 0.2)")
    made.add_argument("--only", action="append", metavar="KIND", help="kinds whose name holds this; repeatable")
    made.add_argument("--part", action="append", choices=PARTS, help="these parts of each kind; repeatable; timed ones"
                      " need a quiet host (default all)")  # fmt: skip
    made.add_argument("--into", type=Path, metavar="FILE", help="go on from FILE, and append to it what is booked")
    made.add_argument("--figures", action="store_true", help="with --table: state the false alarms in reports, too")
    made.add_argument("--table", action="store_true", help="run nothing: print what FILE holds, and what is left")
    made.add_argument("--host", default="this", metavar="this|emulated[:KERNEL]", help="where guests run")
    made.add_argument("--beneath", type=int, default=0, metavar="N", help="with --host: N hogs on each core outside")
    return made


def main() -> int:
    """Do what the command line asks; return the exit code."""
    parser = arguments()
    asked = parser.parse_args()
    if asked.host != "this":
        command = [sys.executable, "-m", "tools.accuracy", *without_host(sys.argv[1:])]
        with hogs(asked.beneath):
            return run_inside(command, kernel_of(asked.host), Machine(), tell)
    kinds = [kind for kind in KINDS if not asked.only or any(words in kind.name for words in asked.only)]
    if not kinds:
        parser.error("no such kind; there are:\n  " + "\n  ".join(kind.name for kind in KINDS))
    known: dict[str, Row] = {}
    ours = revision()  # asked once: what is imported stays, whatever is committed meanwhile
    by = {ours}
    if asked.into is not None and asked.into.exists():
        known, earlier = merged(asked.into.read_text().splitlines())
        by = earlier if asked.table else by | earlier

    def keep(rows: Sequence[Row]) -> None:
        if asked.into is not None:
            append(asked.into, (to_line(row, ours) for row in rows))

    parts = [
        part
        for part in parts_of(kinds, asked.scale, asked.loaded, kvm=probe().usable, rows=known, keep=keep)
        if not asked.part or part_name(part) in asked.part
    ]
    interrupted = False
    if not asked.table:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # QEMUs are crashed
        interrupted = anyio.run(carry_out, parts)
    rows = rows_of(parts)
    print(table(rows))
    if missing := [part for part in parts if part.row.n < part.wanted]:
        print("\n".join(("", *left((part.row, part.wanted) for part in missing))))
    if asked.table and asked.figures:
        figures = Accuracy(tuple(false_alarms(rows)), f"{datetime.now(UTC):%Y-%m-%d}", tuple(sorted(by)))
        FIGURES.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    print(f"\njudged by {', '.join(sorted(by))}")
    return 1 if any(row.grades[Grade.WRONG] for row in rows) else 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
