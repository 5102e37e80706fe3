"""The dashboards are what their sources make, fit Grafana's model, and keep the conventions.

No Grafana can be had where these tests run: that a panel looks right is seen by people only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.src.build import texts
from tests.dashboards.prom import DASHBOARDS, board, metrics_in, panel_queries, panels, rules
from tests.metrics.samples import names

pytestmark = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def test_the_committed_file_is_what_its_source_makes(path: Path) -> None:
    assert texts()[path.name] == path.read_text(), "run make dashboards"


def test_it_is_a_dashboard_in_the_sdk_model(path: Path) -> None:
    content = board(path)
    again = JSONEncoder(sort_keys=True, indent=1).encode(Dashboard.from_json(content)) + "\n"
    assert again == path.read_text()
    assert content["schemaVersion"] == 42


def test_nobody_edits_it_by_hand_and_its_address_stays(path: Path) -> None:
    content = board(path)
    assert content["editable"] is False
    assert content["uid"] == f"qstress-{path.stem}"
    assert len(content["uid"]) <= 40  # Grafana's limit


def test_it_has_one_datasource_variable_and_uses_no_other_source(path: Path) -> None:
    content = board(path)
    kinds = [variable["type"] for variable in content["templating"]["list"]]
    assert kinds.count("datasource") == 1
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    sources = [item["datasource"] for panel in panels(content) for item in (panel, *panel["targets"])]
    sources += [v["datasource"] for v in content["templating"]["list"] if v["type"] == "query"]
    assert all(source == wanted for source in sources)


def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    for panel in panels(board(path)):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        if panel["type"] == "stat":
            assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]


def test_panels_have_numbers_of_their_own_and_do_not_overlap(path: Path) -> None:
    every: list[dict[str, Any]] = board(path)["panels"]
    numbers = [panel["id"] for panel in every]
    assert sorted(numbers) == list(range(1, len(every) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in every:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_it_leads_to_the_other_and_marks_findings(path: Path) -> None:
    (link,) = board(path)["links"]
    kept = {key: link[key] for key in ("type", "tags", "includeVars", "keepTime")}
    assert kept == {"type": "dashboards", "tags": ["qstress"], "includeVars": True, "keepTime": True}
    assert all("qstress" in board(other)["tags"] for other in DASHBOARDS)
    (found,) = board(path)["annotations"]["list"]
    assert (found["name"], found["enable"]) == ("Findings", True)
    assert "qstress_hangs_total" in found["target"]["expr"]


def test_queries_follow_the_chosen_range_and_the_variables(path: Path) -> None:
    known = {variable["name"] for variable in board(path)["templating"]["list"]} | {"__rate_interval"}
    for where, expr in panel_queries():
        if not where.startswith(f"{path.stem}:"):
            continue
        assert set(re.findall(r"\$\{?(\w+)", expr)) <= known, where
        ranges = re.findall(r"(?:rate|increase)\([^()]*\[([^\]]+)\]", expr)
        assert set(ranges) <= {"$__rate_interval"}, where
        fixed_to_nightly = 'config=~"nightly.*"' in expr
        assert fixed_to_nightly or 'config=~"$config"' in expr, where


def test_queries_ask_for_metrics_that_exist(path: Path) -> None:
    known = names() | {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for where, expr in panel_queries() if where.startswith(f"{path.stem}:") for name in metrics_in(expr)}
    assert asked
    assert asked <= known
