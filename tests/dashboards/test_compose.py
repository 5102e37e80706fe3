"""``docker compose up``: what is mounted is there, and its parts fit together. No container can be run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.dashboards.prom import DASHBOARDS, PROMETHEUS, ROOT
from tests.packaging.test_workflow import check_jsonschema

FOLDER = ROOT / "dashboards"
COMPOSE = FOLDER / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]


def mounts(service: str) -> dict[str, Path]:
    """Return what of this checkout a service sees, by where it sees it."""
    pairs = [volume.split(":")[:2] for volume in SERVICES[service]["volumes"] if volume.startswith("./")]
    return {inside: FOLDER / outside for outside, inside in pairs}


def test_compose_takes_it() -> None:
    check_jsonschema("--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_what_is_mounted_is_there() -> None:
    for service in ("prometheus", "grafana"):
        for path in mounts(service).values():
            assert path.is_dir()
    assert mounts("prometheus")["/etc/prometheus"] / "prometheus.yml" == PROMETHEUS / "prometheus.yml"


def test_grafana_finds_the_dashboards() -> None:
    inside = mounts("grafana")
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/qstress.yml").read_text())["providers"][0]
    assert inside[provider["options"]["path"]] == DASHBOARDS[0].parent
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (inside[str(home.parent)] / home.name).is_file()
    assert inside["/etc/grafana/provisioning"] == FOLDER / "provisioning"


def test_grafana_asks_prometheus_as_often_as_it_scrapes() -> None:
    source = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    assert not any("scrape_interval" in scrape for scrape in config["scrape_configs"])
    listening = [a.split("=")[1] for a in SERVICES["prometheus"]["command"] if a.startswith("--web.listen")]
    assert [source["url"]] == [f"http://{address}" for address in listening]


def test_nothing_listens_beyond_this_host() -> None:
    for service in ("prometheus", "node_exporter"):
        (address,) = [a for a in SERVICES[service]["command"] if a.startswith("--web.listen-address=")]
        assert address.startswith("--web.listen-address=127.0.0.1:")
    assert SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
