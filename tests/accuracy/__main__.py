"""``python -m tests.accuracy``: carry out labelled trials, print a table; exit 1 when any verdict was wrong."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from collections.abc import Sequence

import anyio

from qstress.config.kvm import probe
from tests.accuracy.in_place import HEALTHY_IN_PLACE, LOST_IN_PLACE
from tests.accuracy.meddled import MEDDLED
from tests.accuracy.parts import Part, parts_of, rows_of
from tests.accuracy.processes import DESIGNED, HEALTHY_BOOTS, LOST_IN_BOOT
from tests.accuracy.raced import RACED
from tests.accuracy.table import Grade, table

KINDS = (*HEALTHY_IN_PLACE, *LOST_IN_PLACE, *RACED, *DESIGNED, *MEDDLED, *LOST_IN_BOOT, *HEALTHY_BOOTS)


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


def main() -> int:
    """Do what the command line asks; return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m tests.accuracy", description=__doc__)
    arguments.add_argument(
        "--scale", type=float, default=1.0, help="size; 1.0 takes hours (default), 0.01 is a try-out"
    )
    arguments.add_argument("--loaded", type=float, default=0.2, help="share of trials under 8x load (default 0.2)")
    arguments.add_argument("--only", action="append", metavar="KIND", help="kinds whose name holds this; repeatable")
    asked = arguments.parse_args()
    kinds = [kind for kind in KINDS if not asked.only or any(words in kind.name for words in asked.only)]
    if not kinds:
        arguments.error("no such kind; there are:\n  " + "\n  ".join(kind.name for kind in KINDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # QEMUs are crashed
    parts = parts_of(kinds, asked.scale, asked.loaded, kvm=probe().usable)
    interrupted = anyio.run(carry_out, parts)
    rows = rows_of(parts)
    print(table(rows))
    return 1 if any(row.grades[Grade.WRONG] for row in rows) else 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
