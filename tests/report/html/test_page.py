from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from qstress.report.html.page import page, style_sheet
from tests.report.html.samples import everything, settings, shown, strata
from tests.stats.samples import LOST, OK


class Outline(HTMLParser):
    """What a browser would load, and how elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(document: str) -> Outline:
    parser = Outline()
    parser.feed(document)
    parser.close()
    assert parser.open == []
    return parser


def test_nothing_is_asked_for_and_nothing_runs() -> None:
    found = outline(page(everything()))
    assert all(re.match(r"data:|#|evidence/\d+/$", link) for link in found.links)
    assert not {"script", "iframe", "object", "form", "base"} & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}


def test_the_policy_allows_this_style_sheet_and_nothing_else() -> None:
    document = page(shown())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', document)
    (style,) = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.replace("&#x27;", "'") == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert document.index("Content-Security-Policy") < document.index("<style>")


def test_the_style_sheet_asks_for_nothing_and_cannot_end_early() -> None:
    assert not re.search(r"url\(|@import|</", style_sheet())


def test_every_figure_has_a_name_and_every_plot_a_table() -> None:
    document = page(everything())
    figures = re.findall(r"<figure[^>]*>", document)
    assert len(figures) > 6
    assert all("aria-label=" in one for one in figures)
    assert document.count("<svg") == document.count("The numbers</summary>") == 5


def test_what_there_is_nothing_of_is_left_out() -> None:
    document = page(shown(settings(("only",), strata=strata()), [(OK,)]))
    for missing in ("Evidence over trials", "Rate by shape", "Detection latency"):
        assert missing not in document
    for there in ("Rates", "Boot time", "Reply latency", "What was not tested", "Builds", "Run and host"):
        assert there in document


def test_a_run_without_a_trial_has_a_report_too() -> None:
    assert "has not been compared with unpatched yet" in page(shown())


def test_the_page_does_not_grow_with_the_trials() -> None:
    few, many = (len(page(shown(verdicts=[(LOST, OK)] * blocks)).encode()) for blocks in (600, 2400))
    assert many < few * 1.05 < 500_000 * 0.2


def test_a_page_with_every_figure_stays_small() -> None:
    assert len(page(everything()).encode()) < 500_000


def test_the_contents_lead_to_every_part() -> None:
    document = page(everything())
    names = re.findall(r'<li><a href="#([a-z-]+)">', document)
    assert names[:2] == ["rates", "evidence"]
    assert "findings" in names
    assert sorted(names) == sorted(re.findall(r'<(?:figure|section)[^>]* id="([a-z-]+)"', document))
