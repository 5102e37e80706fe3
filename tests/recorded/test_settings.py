from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qstress.config.settings import LAST_GOOD, Gate, HostSettings, Settings, digest, resolved_document
from qstress.errors import ConfigError
from qstress.model import ChurnSpec, HammerSpec, Milestone, Rate, SmmWriteback
from qstress.recorded.settings import settings_of
from tests.recorded.samples import document
from tests.report.html.samples import build, settings, strata


def every_kind() -> Settings:
    """Settings with something in every field."""
    (plain,) = strata()
    hammers = (
        HammerSpec("x", "hmp", Rate(0.002, "every 2ms"), "{}", Milestone.PCI, Milestone.FOUND, (("info cpus", 3),)),
        HammerSpec("query-status", "qmp", Rate(None, "max"), '{"a": 1}'),
    )
    churned = replace(plain, hammers=hammers, churn=ChurnSpec("200 at pci", None, 200, (Milestone.PCI,)))
    patched = build("patched", args=("-cpu", "max"), env=(("A", "b"),), smm_writeback=SmmWriteback.RESET_ONLY)
    return replace(
        settings(strata=(plain, churned), gate=Gate("patched", 0.01, None, None, LAST_GOOD, 500)),
        builds=(build("unpatched"), patched),
        stop_trials=400,
        stop_duration_s=90.0,
        stop_decided=True,
        metrics_listen=("127.0.0.1", 9797),
        metrics_textfile=Path("/var/lib/metrics.prom"),
        hosts=(("old", HostSettings("6.1", 2, 3 << 30, "6.1.0-57-amd64", "0" * 64, "7.2.22")),),
    )


@pytest.mark.parametrize("asked", [settings(), settings(("only",)), every_kind()], ids=["pair", "one", "every kind"])
def test_settings_come_back_from_a_run_as_they_were(asked: Settings) -> None:
    back = settings_of(json.loads(json.dumps(document(asked))))
    assert back == asked
    assert (resolved_document(back), digest(back)) == (resolved_document(asked), digest(asked))


def test_what_a_later_version_added_is_passed_over() -> None:
    run: Any = json.loads(json.dumps(document(settings())))
    run["config"]["new"] = 1
    assert settings_of(run) == settings()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: run.pop("config"), "no settings of this version: KeyError"),
        (lambda run: run["config"].pop("strata"), "no settings of this version: KeyError"),
        (lambda run: run["config"].pop("builds"), "config.builds: Field required"),
        (lambda run: run["config"]["strata"][0]["hammers"][0].update(start="lunch"), "no settings of this version"),
        (lambda run: run["config"].update(lanes="many"), "config.lanes: Input should be a valid integer"),
        (lambda run: run.update(config=3), "no settings of this version: TypeError"),
    ],
)
def test_anything_else_is_one_clear_line(spoil: Any, told: str) -> None:
    run: Any = json.loads(json.dumps(document(settings())))
    spoil(run)
    with pytest.raises(ConfigError, match=told) as caught:
        settings_of(run)
    assert "\n" not in str(caught.value)
