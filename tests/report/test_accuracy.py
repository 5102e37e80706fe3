from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from qstress.report import accuracy
from qstress.report.accuracy import Accuracy, FalseAlarms, accuracy_from_json, sentences
from qstress.report.html import about

README = Path(__file__).parents[2] / "README.md"


def test_the_rate_is_told_with_its_bound_and_its_measurement() -> None:
    none, one = FalseAlarms("smpscan", 0, 100_000, 20_000), FalseAlarms("SeaBIOS", 1, 10_000, 2_000)
    first, second, source = sentences(Accuracy((none, one), "2026-11-29", ("abc123",)))
    assert first == (
        "smpscan: 0 false alarms in 100,000 healthy bring-ups (20,000 of them with the host oversubscribed 8x), "
        "so at most 0.0030 % (95 % upper bound)"
    )
    assert "at most 0.048 %" in second  # 1 in n: 4.74/n
    assert "make accuracy on 2026-11-29, on the host" in source
    assert "abc123" not in source  # revisions are for accuracy.json, not for readers


def test_figures_come_back_as_they_went() -> None:
    rates = (FalseAlarms("smpscan", 0, 10, 2),)
    figures = Accuracy(rates, "2026-11-29", ("a", "b"))
    assert accuracy_from_json(json.dumps(asdict(figures))) == figures


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"false_alarms": [{}], "date": "", "revisions": []}'])
def test_what_are_no_figures_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no figures|Expecting value"):
        accuracy_from_json(text)


def test_report_and_readme_say_what_was_measured() -> None:
    readme = " ".join(README.read_text().split())
    for sentence in sentences(accuracy.measured()):
        assert sentence in about.trust()
        assert sentence in readme, f"the README is to say: {sentence}"
