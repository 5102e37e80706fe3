"""Writes the dashboards as Grafana reads them: ``python -m dashboards.src.build [FOLDER]`` (``make dashboards``)."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.src.overview import overview
from dashboards.src.run import run

FOLDER = Path(__file__).parent.parent / "grafana"


def texts() -> dict[str, str]:
    """Return the JSON of each dashboard by its file's name."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    made = {"overview.json": overview(), "run.json": run()}
    return {name: encoder.encode(dashboard.build()) + "\n" for name, dashboard in made.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, text in texts().items():
        (folder / name).write_text(text)
