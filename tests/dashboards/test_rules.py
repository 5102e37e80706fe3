"""Rules and alerts: promtool takes them, each alert has a case that fires and one that is silent, and a runbook."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from qstress.metrics.snapshot import RIG_REASONS
from tests.dashboards.prom import PROMETHEUS, ROOT, metrics_in, promtool, rule_queries, rules
from tests.metrics.samples import names

ALERTS = [rule for rule in rules() if "alert" in rule]
CASES = sorted((PROMETHEUS / "tests").glob("*.yml"))


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    for arguments in (
        ("check", "rules", "--lint-fatal", PROMETHEUS / "rules.yml", PROMETHEUS / "alerts.yml"),
        ("check", "config", PROMETHEUS / "prometheus.yml"),
    ):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_promtool_test_rules(path: Any) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_every_alert_has_a_case_that_fires_and_one_that_is_silent(alert: str) -> None:
    documents = [yaml.safe_load(path.read_text()) for path in CASES]
    looks = [
        bool(look["exp_alerts"])
        for document in documents
        for case in document["tests"]
        for look in case["alert_rule_test"]
        if look["alertname"] == alert
    ]
    assert set(looks) == {True, False}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert {"summary", "description"} <= set(rule["annotations"])
    prefix = "{{ with $externalLabels.qstress_docs }}{{ . }}/{{ end }}"
    assert rule["annotations"]["runbook_url"].startswith(prefix)
    path, _, anchor = rule["annotations"]["runbook_url"].removeprefix(prefix).partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
    assert anchor == rule["alert"].lower()
    assert anchors.count(anchor) == 1


def test_the_runbook_knows_every_reason_of_a_rig_error() -> None:
    section = (ROOT / "docs/runbook.md").read_text().partition("## QstressRigErrors")[2].partition("\n## ")[0]
    assert set(RIG_REASONS) <= set(re.findall(r"`([a-z-]+)`", section))


def test_rules_ask_for_metrics_that_exist() -> None:
    known = names() | {rule["record"] for rule in rules() if "record" in rule}
    for where, expr in rule_queries():
        assert metrics_in(expr) <= known, where
