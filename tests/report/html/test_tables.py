from __future__ import annotations

from qstress.report.html.tables import ROWS_MAX, TableData, table


def test_numbers_stand_right_and_the_first_column_names_the_row() -> None:
    drawn = table(TableData(("build", "n"), [("a<b", 3)]), "What was counted")
    assert '<caption class="hidden">What was counted</caption>' in drawn
    assert '<th scope="col">build</th><th class="n" scope="col">n</th>' in drawn
    assert '<tr><th scope="row">a&lt;b</th><td class="n">3</td></tr>' in drawn
    assert "more:" not in drawn


def test_a_long_table_says_what_it_leaves_out() -> None:
    drawn = table(TableData(("n",), [(n,) for n in range(ROWS_MAX + 7)]), "Numbers")
    assert drawn.count("<tr>") == ROWS_MAX + 1
    assert "and 7 more: see summary.json" in drawn
