"""promtool, and what the dashboards and rules ask of Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "dashboards/grafana").glob("*.json"))
PROMETHEUS = ROOT / "dashboards/prometheus"


class Query(NamedTuple):
    """A PromQL expression and where it stands: dashboard, panel and refId, or a rule."""

    where: str
    expr: str


def promtool(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run Debian's promtool (package ``prometheus``; ``.ci/host test`` installs it)."""
    found = shutil.which("promtool")
    assert found is not None, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([found, *arguments], input=stdin, capture_output=True, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def board(path: Path) -> dict[str, Any]:
    """Return a committed dashboard."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its row headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries() -> Iterator[Query]:
    """Yield every query of every panel and annotation, Grafana's variables still in it."""
    for path in DASHBOARDS:
        for annotation in board(path)["annotations"]["list"]:
            yield Query(f"{path.stem}: annotation {annotation['name']}", annotation["target"]["expr"])
        for panel in panels(board(path)):
            for target in panel["targets"]:
                yield Query(f"{path.stem}: {panel['title']} {target['refId']}", target["expr"])


def rules() -> list[dict[str, Any]]:
    """Return every recording and alerting rule."""
    documents = [yaml.safe_load((PROMETHEUS / name).read_text()) for name in ("rules.yml", "alerts.yml")]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def rule_queries() -> Iterator[Query]:
    """Yield every rule's expression."""
    for rule in rules():
        yield Query(rule.get("record") or f"alert {rule['alert']}", rule["expr"])


def metrics_in(expr: str) -> set[str]:
    """Return the names of our metrics and recording rules in *expr*."""
    return set(re.findall(r"\b(?:config_build_smp:)?qstress_[a-z0-9_]+(?::[a-z0-9_]+)?\b", expr))
