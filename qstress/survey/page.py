"""Surveys as one HTML file, like ``report.html`` (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.report.html.markup import Content, Markup, tag
from qstress.report.html.page import html_document, page_section
from qstress.report.html.tables import TableData, table
from qstress.report.wording import rate
from qstress.survey.answers import Answer, Row
from qstress.survey.job import Survey
from qstress.survey.show import NOT_IN_DANGER, WHEN, survey_headline

_COLUMNS = ("command", "via", "answer", "seen", "window p50, p99", "lost INIT", "held", "replayed INIT", "held")


def survey_page(surveys: Sequence[Survey]) -> str:
    """Return *surveys* as one HTML document."""
    return html_document(
        "Which monitor commands are safe",
        tag("header", tag("h1", "Which monitor commands are safe"), tag("p", NOT_IN_DANGER)),
        tag("ul", [tag("li", tag("b", answer.value), f": dangerous {when}") for answer, when in WHEN.items()]),
        [_of(survey, number) for number, survey in enumerate(surveys)],
    )


def _of(survey: Survey, number: int) -> Markup:
    touching = [row for row in survey.rows if row.answer in (Answer.ALL, Answer.ONE, Answer.RESETS)]
    untried = [(row.command, row.via, row.why) for row in survey.rows if row.answer is Answer.NOT_TRIED]
    safe = [row for row in survey.rows if row.answer is Answer.SAFE]
    return page_section(
        f"build{number}",
        survey.build.binary,
        tag("p", survey_headline(survey)),
        table(TableData(_COLUMNS, [_cells(row) for row in touching], frozenset(range(4))), "Commands that write back"),
        tag("h3", f"Safe ({len(safe)})"),
        *(tag("p", f"{via}: ", ", ".join(row.command for row in safe if row.via == via)) for via in ("hmp", "qmp")),
        tag("h3", f"Not tried ({len(untried)})"),
        table(TableData(("command", "via", "why"), untried, frozenset(range(3))), "Commands that were not tried"),
    )


def _cells(row: Row) -> tuple[Content, ...]:
    window = f"{1e3 * row.window_s[0]:.2g} ms, {1e3 * row.window_s[1]:.2g} ms" if row.window_s else ""
    told: tuple[Content, ...] = (row.untried, "", "", "")
    if races := row.races:
        told = tuple(rate(each.k, each.n)
                     for each in (races.lost, races.held_lost, races.replayed, races.held_replayed))  # fmt: skip
    return (row.command, row.via, row.answer.value, row.why, window, *told)
