from __future__ import annotations

from dataclasses import replace

from qstress.survey.page import survey_page
from tests.survey.samples import RACED, ROWS, surveyed


def test_a_page_has_every_build_and_lets_nothing_in() -> None:
    page = survey_page([surveyed(replace(ROWS[0], races=RACED), *ROWS[1:]), surveyed(ROWS[1])])
    assert page.count("<section") == 2
    assert "/opt/&lt;qemu&gt;" in page
    assert "<script" not in page
    assert "80/200 (33.1-47.2 %)" in page
    assert "it ends QEMU" in page
