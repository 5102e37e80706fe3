"""``make bench``: how often a minute shows a confirmed lost INIT, as production polls and as fast as this host can.

Each figure is a whole soak of one build on one lane, so what a hang costs (confirm, record, next trial) is part of it.
The four take turns, so that a drift of this host hits them alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from qstress.config.kvm import probe

SEABIOS = {"firmware": "seabios"}
IN_PLACE = {"firmware": "smpscan", "restart": "reset", "process_trials": 200}
#: What to run, by letter (issue 3): the report's monitor, SeaBIOS at its best, smpscan in place, the same held.
PARTS = {
    "a": ("every 2ms, SeaBIOS, a process a boot", SEABIOS, "every 2ms", {}),
    "b": ("SeaBIOS, boot CPU alone", {**SEABIOS, "placement": "bsp-alone"}, "max", {}),
    "c": ("smpscan, reset in place", IN_PLACE, "max", {}),
    "d": ("smpscan, held", IN_PLACE, "max", {"write": "1ms", "until_checkin": "20ms"}),
}
AIMS = {"b": 4, "c": 25, "d": 60}


def hangs_a_minute(part: str, folder: Path, seconds: int) -> float:
    """Soak for so long and return the lost INITs a minute."""
    _, guest, rate, hold = PARTS[part]
    build = {"binary": "qemu-system-x86_64", "kvm_smm": "auto", **({"hold": hold} if hold else {})}
    config = {
        "version": 1, "name": f"bench-{part}", "builds": {"stock": build}, "guest": {"smp": 4, "accel": "kvm", **guest},
        "hammer": [{"command": "info registers -a", "rate": rate}], "stop": {"duration": f"{seconds}s"}, "lanes": 1,
    }  # fmt: skip
    path = folder / f"{part}.yaml"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "qstress", "soak", "-c", str(path), "--runs-dir", str(folder), "-q", "--format"]
    start = time.monotonic()
    done = subprocess.run([*command, "json"], capture_output=True, text=True, check=False)
    minutes = (time.monotonic() - start) / 60
    (cell,) = json.loads(done.stdout)["cells"]
    found = cell["classes"].get("lost-init", {}).get("count", 0)
    return float(found) / minutes


def main(rounds: int = 3, seconds: int = 20) -> None:
    """Print the four figures and their ratios to the first."""
    if not probe().usable:
        print("hangs a minute: not measured, KVM cannot be used here")
        return
    rates: dict[str, list[float]] = {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory(prefix="qstress-bench-") as folder:
        for _ in range(rounds):
            for part, seen in rates.items():
                seen.append(hangs_a_minute(part, Path(folder), seconds))
    base = median(rates["a"])
    for part, seen in rates.items():
        against = f"  {part}/a {median(seen) / base:.1f}, aim >= {AIMS[part]}" if part in AIMS and base else ""
        spread = f"{min(seen):.1f}-{max(seen):.1f}"
        print(
            f"lost INITs a minute, ({part}) {PARTS[part][0]:<36} {median(seen):8.1f}  (n={len(seen)}, {spread}){against}"
        )


if __name__ == "__main__":
    main()
