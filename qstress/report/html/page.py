"""``report.html``: one file without scripts that asks nobody for anything, in light and in dark."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from qstress.report.html import about
from qstress.report.html.distributions import boot_times, detection_times, reply_times
from qstress.report.html.figures import evidence_over_trials, figure, rates
from qstress.report.html.findings import bug_articles
from qstress.report.html.heatmap import heat_map
from qstress.report.html.markup import Content, Markup, join, tag
from qstress.report.html.run import Shown
from qstress.report.html.verdict import verdict


def page(run: Shown) -> str:
    """Return the whole report of *run* as one HTML document."""
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
        tag("title", f"{run.facts.name}: {run.facts.run}"),
        Markup(f"<style>{style}</style>"),
    )
    asked = run.settings.compare
    times = [boot_times(run.tally), reply_times(run.tally), detection_times(run.tally)]
    body = tag(
        "body",
        tag(
            "main",
            verdict(run),
            figure(rates(run.tally)),
            figure(evidence_over_trials(run.tally, run.trace, asked.alpha)) if asked and run.trials else None,
            heat_map(run.tally),
            tag("div", [figure(one) for one in times if one], class_="side-by-side"),
            _section("findings", "Findings", bug_articles(run)),
            _section("not-tested", "What was not tested", about.not_tested(run)),
            _section("trust", "How far a verdict can be trusted", about.trust()),
            _section("cells", "All cells", about.cells(run)),
            _section("builds", "Builds", about.builds(run)),
            _section("host", "Run and host", about.host(run)),
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


@cache
def style_sheet() -> str:
    """Return the style sheet as it stands in the page."""
    return resources.files("qstress.report.html").joinpath("style.css").read_text()


def _section(name: str, title: str, *content: Content) -> Markup:
    return tag("section", tag("h2", title), join(*content), id=name)
