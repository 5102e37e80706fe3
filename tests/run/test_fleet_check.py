from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from qstress.config.settings import FleetSettings
from qstress.errors import RigError
from qstress.run.fleet_check import FleetSurvey, fleet_json, fleet_text, survey_fleet
from tests.host.test_worker import asked, facts

GOOD = facts()
FOUND = FleetSurvey({"a": GOOD, "b": "ModuleNotFoundError: No module named 'qstress'"}, {"a": 0.25})


def test_a_fleet_is_as_large_as_its_workers_and_as_able_as_the_first() -> None:
    place = FleetSurvey({"a": replace(GOOD, cores=7), "b": replace(GOOD, cores=1)}, {}).place
    assert (place.cores, place.workers, place.kvm) == (8, 2, GOOD.doctor.kvm)


def test_a_fleet_of_which_nobody_can_be_asked_is_refused_with_the_reason() -> None:
    with pytest.raises(RigError, match=r"b: ModuleNotFoundError"):
        _ = FleetSurvey({"b": FOUND.workers["b"]}, {}).place
    with pytest.raises(RigError, match="it has none"):
        _ = FleetSurvey({}, {}).place


def test_each_worker_is_told_with_what_is_wrong_there() -> None:
    text = fleet_text(FOUND, asked())
    assert "ok    worker a:" in text
    assert "clock +0.2 s" in text or "clock +0.3 s" in text
    assert "no    worker b: cannot be asked\n      -> ModuleNotFoundError" in text


def test_a_fleet_can_run_when_every_worker_can() -> None:
    document = fleet_json(FOUND, asked())
    assert document["can_run"] is False
    assert fleet_json(FleetSurvey({"a": GOOD}, {"a": 0.0}), asked())["can_run"] is True
    assert fleet_json(FleetSurvey({}, {}), asked())["can_run"] is False
    json.dumps(document)


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstress.run.dask_fleet.CONNECT_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RigError, match="no scheduler answers"):
            survey_fleet(FleetSettings(f"tcp://127.0.0.1:{taken.getsockname()[1]}"))
