"""Fills a small tmpfs with findings and says what became of them; run by test_write in a mount namespace.

usage: python -m tests.store.full_disk MOUNT_POINT evidence|rows
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from qstress.errors import RigError
from qstress.store.read import open_run
from qstress.store.write import EvidenceRules, RunStore
from tests.store.samples import LOST_INIT, evidence, result


def main(disk: Path, kind: str) -> dict[str, object]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    (disk / "ballast").write_bytes(bytes(300_000))
    rules = EvidenceRules(max_per_signature=5000 if kind == "evidence" else 0)
    store = RunStore.create(disk, "full", {}, now=datetime.now(UTC), token="t", rules=rules)
    promised: list[int] = []
    kept: list[str] = []
    told: dict[str, object] = {"promised": promised}
    verdict = replace(LOST_INIT, because=("x" * 3000,))
    try:
        for number in range(5000):
            folder = store.record(result(number, verdict), evidence())
            promised.append(number)
            kept += [folder.removeprefix("evidence/")] if folder else []
    except RigError as error:
        told |= {"error": str(error), "reason": error.reason}
    told |= {"kept": sorted(kept), "folders while full": sorted(os.listdir(store.path / "evidence"))}
    store.close()
    with open_run(store.path) as record:
        told["read while full"] = [found.number for found in record.findings()]
    (disk / "ballast").unlink()
    with RunStore.reopen(store.path) as again:
        again.record(result(9999, LOST_INIT), evidence())
    with open_run(store.path) as record:
        told["read after more space"] = [found.number for found in record.findings()]
    return told


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
