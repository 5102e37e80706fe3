"""``python -m tools.regressions --build NAME=BINARY… [--only NAME]…``: k of n for each regression and build.

What must not break when QEMU leaves INIT to KVM's APIC (docs/both-races.md). Exit 1 if a build named by ``--must-pass``
shows anything but ``ok``. Guests with real SMM need a KVM that has it: on an emulated host, ``qstress host run -- …``.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import anyio

from qstress.errors import RigError, rig_error_in
from qstress.model import Build, Smm
from tools.regressions.lab import OK, Lab
from tools.regressions.scenarios import SCENARIOS, Scenario

#: A guest that cannot be started so often in a row is not tried again.
MOST_RIG_ERRORS = 3


async def tally(scenario: Scenario, lab: Lab, trials: int) -> Counter[str]:
    """Run *scenario* until it has noted *trials* outcomes; return how often it noted each.

    :raises RigError: its guests cannot be started here.
    """
    outcomes = Counter[str]()
    errors = 0

    def note(outcome: str) -> bool:
        outcomes[outcome] += 1
        return outcome == OK and outcomes.total() < trials

    while outcomes.total() < trials:
        before = outcomes.total()
        try:
            await scenario(lab, note)
        except* RigError as group:
            errors += 1
            if errors == MOST_RIG_ERRORS:
                raise rig_error_in(group) from group
        if outcomes.total() > before:
            errors = 0
    return outcomes


def told(outcomes: Counter[str]) -> str:
    """Return *outcomes* as ``bad/n`` and which."""
    bad = {outcome: count for outcome, count in outcomes.items() if outcome != OK}
    which = ", ".join(f"{count} {outcome}" for outcome, count in sorted(bad.items()))
    return f"{sum(bad.values())}/{outcomes.total()}" + (f" ({which})" if which else "")


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.regressions", description=__doc__)
    parser.add_argument("--build", action="append", required=True, metavar="NAME=BINARY")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS))
    parser.add_argument("--must-pass", action="append", default=[], metavar="NAME")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--patience", type=float, default=5.0, help="seconds without progress that are called a hang")
    parser.add_argument("--pretend-smm", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Print a line a regression and build as each ends; return the exit code."""
    asked = arguments()
    failed = False
    for name in asked.only or SCENARIOS:
        for label, _, binary in (build.partition("=") for build in asked.build):
            smm = Smm.PRETENDED if asked.pretend_smm else Smm.REAL
            build = Build(label, str(Path(binary).absolute()), "", "", (), (), smm)
            with tempfile.TemporaryDirectory() as scratch:
                lab = Lab(build, Path(scratch), asked.patience, random.Random(1))
                try:
                    outcomes = anyio.run(tally, SCENARIOS[name], lab, asked.trials)
                except RigError as error:
                    print(f"{name}, {label}: not run: {error}", flush=True)
                    continue
            failed |= label in asked.must_pass and set(outcomes) != {OK}
            print(f"{name}, {label}: {told(outcomes)}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
