"""``report.html``: one file without scripts that asks nobody for anything, in light and in dark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from qstress.report.bugs import bugs
from qstress.report.html import about
from qstress.report.html.distributions import boot_times, detection_times, reply_times
from qstress.report.html.figures import evidence_over_trials, figure, rates
from qstress.report.html.findings import bug_articles
from qstress.report.html.heatmap import heat_map
from qstress.report.html.markup import Content, Markup, join, tag
from qstress.report.html.run import Shown
from qstress.report.html.verdict import verdict_header


def page(run: Shown) -> str:
    """Return the whole report of *run* as one HTML document."""
    asked = run.settings.compare
    grown = evidence_over_trials(run.tally, run.trace, asked.alpha) if asked and run.tally.trials else None
    shown = [one for one in (rates(run.tally), grown) if one]
    times = [one for of in (boot_times, reply_times, detection_times) if (one := of(run.tally))]
    heat = heat_map(run.tally)
    sections = [
        ("findings", f"Findings ({len(bugs(run.tally.findings))})", bug_articles(run)),
        ("not-tested", "What was not tested", about.not_tested(run)),
        ("trust", "How far a verdict can be trusted", about.trust()),
        ("cells", "All cells", about.cells(run)),
        ("builds", "Builds", about.builds(run)),
        ("host", "Run and host", about.host(run)),
    ]
    names = [(one.name, one.title) for one in shown]
    names += [("heat-map", "Rate by shape and hammer")] if heat else []
    names += [(one.name, one.title) for one in times]
    names += [(name, title) for name, title, _ in sections]
    return html_document(
        f"{run.facts.name}: {run.facts.run}",
        verdict_header(run),
        _contents(names),
        tag("div", map(figure, shown), class_="side-by-side"),
        heat,
        tag("div", map(figure, times), class_="side-by-side"),
        [page_section(*each) for each in sections],
    )


def html_document(title: str, *content: Content | Iterable[Content]) -> str:
    """Return *content* as one HTML document, that neither runs nor loads anything."""
    style = style_sheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Only this very style sheet and pictures within this file: whatever else got in could neither run nor load.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),  # else browsers ask for /favicon.ico
        tag("title", title),
        Markup(f"<style>{style}</style>"),
    )
    body = tag("body", tag("main", *content))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _contents(names: Sequence[tuple[str, str]]) -> Markup:
    """Return links to the parts of the page: their identifiers, and what they are called."""
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in names]
    return tag("nav", tag("ul", links), aria_label="Contents")


@cache
def style_sheet() -> str:
    """Return the style sheet as it stands in the page."""
    return resources.files("qstress.report.html").joinpath("style.css").read_text()


def page_section(name: str, title: str, *content: Content) -> Markup:
    """Return a part of a page under a heading, to be linked to by *name*."""
    return tag("section", tag("h2", title), join(*content), id=name)
