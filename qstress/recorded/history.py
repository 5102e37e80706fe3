"""Earlier runs of the same experiment, for a gate that asks what they saw."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from qstress.config.settings import LAST_GOOD, Settings, digest
from qstress.report.gate import PastRun, past_run


def last_good(settings: Settings, runs_dir: Path, before: str) -> PastRun | None:
    """Return the newest run in *runs_dir* of the same settings that passed, of those older than the run *before*.

    None where there is none, or where the gate does not ask for it. A folder that cannot be read is passed over.
    """
    ruled = settings.gate
    if ruled is None or ruled.baseline != LAST_GOOD:
        return None
    wanted = digest(settings)
    older = sorted((file.parent for file in runs_dir.glob("*/summary.json") if file.parent.name < before), reverse=True)
    for folder in older:  # their names begin with the time
        with suppress(OSError, ValueError, KeyError):
            if json.loads((folder / "run.json").read_bytes())["sha256"] != wanted:
                continue
            summary = json.loads((folder / "summary.json").read_bytes())
            if past := past_run(summary, ruled.build, ruled.classes):
                return past
    return None
