"""A soak and a fuzzing session that qstress recorded on 2026-11-30, before summary.json had format 2, for the tests.

Live: the race of configs/race.yaml and a few seconds of configs/fuzz-quick.yaml on stock QEMU 7.2.22. Of their evidence
three findings of the soak and one of the session are kept, and of the session's coverage a few commands.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1] / "data" / "runs"
RACE, FUZZ = "20261130T084326Z-race-4a7d01", "20261130T084345Z-fuzz-quick-73ffe0"


def old_runs(folder: Path) -> Path:
    """Return a copy of both in *folder*, a runs folder."""
    return Path(shutil.copytree(ROOT, folder / "runs"))
