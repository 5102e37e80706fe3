"""``report.html`` in a real browser: what it asks for, what it says to those who cannot see it, what it looks like.

Screenshots go to the folder in ``TEST_ARTEFACTS``, else to pytest's own.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from qstress.report.html.page import page
from tests.report.html.samples import everything, settings, shown
from tests.stats.samples import LOST, OK

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
    pytest.mark.timeout(180),
]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: A picture with a style sheet, a script and a request of its own: the first is its business, the others must not be.
PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 20"><style>rect { fill: #c04a00 }</style>
<script>fetch("http://example.invalid/script")</script><image href="http://example.invalid/x.png"/>
<rect width="60" height="20"/></svg>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    named = os.environ.get("TEST_ARTEFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("report")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def reports(artefacts: Path) -> dict[str, Path]:
    """The reports to look at: one with everything in it, one as after a quickstart, one of a single build."""
    full = everything()
    documents = {
        "full": replace(full, pictures=dict.fromkeys(full.pictures, PICTURE)),
        "pair": shown(verdicts=[(LOST if block % 4 == 0 else OK, OK) for block in range(40)]),
        "single": shown(settings(("stock",)), [(OK,)] * 20),
    }
    files = {}
    for name, run in documents.items():
        files[name] = artefacts / f"report-{name}.html"
        files[name].write_text(page(run))
    return files


class Opened:
    """A page that was opened, and what it asked for and complained of on the way."""

    def __init__(self, browser: Browser, file: Path, *, scheme: Any = "light", width: int = 1100) -> None:
        self.context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("name", ["full", "pair", "single"])
def test_it_asks_for_nothing_and_complains_of_nothing(browser: Browser, reports: dict[str, Path], name: str) -> None:
    with Opened(browser, reports[name]) as opened:
        for summary in opened.page.query_selector_all("summary"):
            summary.click()
        opened.page.wait_for_load_state("networkidle")
        assert [url for url in opened.requests if not url.startswith("data:")] == [reports[name].as_uri()]
        assert opened.complaints == []
        assert opened.page.title().startswith("nightly")


def test_what_gets_in_nevertheless_can_neither_run_nor_load(browser: Browser, reports: dict[str, Path]) -> None:
    """The policy holds: a script, a picture and a style that were written into the file do nothing."""
    file = reports["pair"].with_name("report-tampered.html")
    intruder = (
        '<script>document.title = "ran"</script><img src="http://example.invalid/x"><b style="color: red" id="b">b</b>'
    )
    file.write_text(reports["pair"].read_text().replace("</main>", f"{intruder}</main>"))
    with Opened(browser, file) as opened:
        assert opened.page.title().startswith("nightly")
        assert opened.page.evaluate("getComputedStyle(document.getElementById('b')).color") != "rgb(255, 0, 0)"
        assert len([line for line in opened.complaints if "Content Security Policy" in line]) >= 3


def accessible(opened: Opened) -> list[tuple[str, str]]:
    """Role and name of every element that a screen reader is told of."""
    client = opened.context.new_cdp_session(opened.page)
    nodes = client.send("Accessibility.getFullAXTree")["nodes"]
    return [
        (node.get("role", {}).get("value", ""), node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    ]


@pytest.mark.parametrize("name", ["full", "pair", "single"])
def test_every_figure_picture_and_table_has_a_name(browser: Browser, reports: dict[str, Path], name: str) -> None:
    with Opened(browser, reports[name]) as opened:
        for summary in opened.page.query_selector_all("summary"):
            summary.click()
        found = accessible(opened)
        figures, pictures = (opened.page.locator(what).count() for what in ("figure", "svg, img"))
        named = {role: [n for r, n in found if r == role] for role in ("figure", "image", "table", "region")}
        assert len(named["figure"]) == figures
        assert len(named["image"]) == pictures > 2
        assert len(named["table"]) == opened.page.locator("table").count()
        assert [role for role, names in named.items() if not all(names)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_colours_follow_the_reader_and_can_be_read(
    browser: Browser, reports: dict[str, Path], artefacts: Path, scheme: str
) -> None:
    """Contrast of all text against the page is at least 4.5 : 1 (WCAG 2.1, level AA)."""
    with Opened(browser, reports["full"], scheme=scheme) as opened:
        opened.page.screenshot(path=artefacts / f"report-full-{scheme}.png", full_page=True)
        colours = opened.page.evaluate(
            """() => [...document.querySelectorAll("main *")]
                 .filter(e => e.getClientRects().length)
                 .filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()))
                 .map(e => getComputedStyle(e)[e instanceof SVGElement ? "fill" : "color"])"""
        )
        paper = luminance(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (paper > 0.5) == (scheme == "light")
        contrasts = {colour: contrast(paper, luminance(colour)) for colour in set(colours)}
        assert {colour: round(ratio, 1) for colour, ratio in contrasts.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("width", [360, 1100])
def test_it_fits_the_screen(browser: Browser, reports: dict[str, Path], artefacts: Path, width: int) -> None:
    for name in ("pair", "single", "full"):
        with Opened(browser, reports[name], width=width) as opened:
            opened.page.screenshot(path=artefacts / f"report-{name}-{width}.png", full_page=True)
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``; source: WCAG 2.1, "relative luminance"."""
    shares = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: float, b: float) -> float:
    """The contrast of two luminances, 1 to 21."""
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
