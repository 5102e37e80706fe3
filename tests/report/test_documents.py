"""The types of ``summary.json`` name the keys that the document names; ``tests/test_api.py`` compares their values."""

from __future__ import annotations

from typing import NotRequired, get_origin, get_type_hints

import pytest

from qstress.report import documents
from tests.report.test_summary import CELL, FORMAT, SHARED_CONTRAST


@pytest.mark.parametrize(
    ("hint", "keys"),
    [
        (documents.SummaryDocument, {*FORMAT, "comparisons", "host_log", "fleet", "hosts"}),
        (documents.CellDocument, {*CELL}),
        (documents.BugDocument, {*FORMAT["findings"][0]}),
        (documents.ComparisonDocument, {*FORMAT["compare"], *SHARED_CONTRAST}),
        (documents.ContrastDocument, {*SHARED_CONTRAST}),
    ],
)
def test_its_keys(hint: type, keys: set[str]) -> None:
    assert set(get_type_hints(hint)) == keys


def test_what_is_not_always_there_says_so() -> None:
    hints = get_type_hints(documents.SummaryDocument, include_extras=True)
    assert {key for key, hint in hints.items() if get_origin(hint) is NotRequired} == {
        "comparisons",
        "fleet",
        "host_log",
        "hosts",
    }
