from __future__ import annotations

import pytest

from qstress.errors import ConfigError
from tests.config.samples import config

SECOND = ("  fixed:", "  other: {binary: x}\n  fixed:")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            [("stop: {trials: 100, duration: 30m, decided: true}", "seed: 2")],
            "sample.yaml:1:1: stop: nothing would end this run; add for example  stop: {trials: 400, duration: 10m}",
        ),
        (
            [("{trials: 100, duration: 30m, decided: true}", "{decided: false}")],
            "sample.yaml:11:1: stop: nothing would end this run; add for example  stop: {trials: 400, duration: 10m}",
        ),
        (
            [("fixed: {", "fixed: {hold: {write: 1ms}, ")],
            "sample.yaml:5:3: builds.fixed: must have the same hold as stock, or the comparison says nothing",
        ),
        ([("trials: 100", "trials: 1")], "sample.yaml:11:16: stop.trials: 1 is fewer than the 2 builds"),
        (
            [
                ("compare: {baseline: stock, candidate: fixed}\n", ""),
                ("gate: {build: fixed, classes: [lost-init], better_than: stock}\n", ""),
            ],
            "sample.yaml:11:45: stop.decided: needs compare or gate: there is nothing to decide",
        ),
        (
            [("compare: {baseline: stock, candidate: fixed}\n", "")],
            (
                "sample.yaml:12:57: gate.better_than: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [SECOND, ("candidate: fixed", "candidate: other")],
            (
                "sample.yaml:14:57: gate.better_than: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [SECOND, ("baseline: stock", "baseline: other")],
            (
                "sample.yaml:14:57: gate.better_than: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [SECOND, ("candidate: fixed", "candidate: [fixed, other]"), ("build: fixed, ", "")],
            "sample.yaml:14:1: gate.build: is missing; say which build must pass",
        ),
        (
            [
                ("compare: {baseline: stock, candidate: fixed}\n", ""),
                ("build: fixed, classes: [lost-init], better_than: stock", "max_hang_rate: 0.1"),
            ],
            "sample.yaml:12:1: gate.build: is missing; say which build must pass",
        ),
    ],
)
def test_rules_between_sections(changes: list[tuple[str, str]], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(*changes)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "changes",
    [
        [("trials: 100, ", "")],
        [("trials: 100, duration: 30m, ", "")],
        [("trials: 100", "trials: 2")],
        [("build: fixed, ", "")],
        [("build: fixed, classes: [lost-init], better_than: stock", "build: stock, max_hang_rate: 0.1")],
        [SECOND, ("candidate: fixed", "candidate: [other, fixed]")],
    ],
)
def test_what_the_rules_let_pass(changes: list[tuple[str, str]]) -> None:
    config(*changes)
