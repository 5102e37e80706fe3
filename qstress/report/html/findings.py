"""The findings of a report: each bug with its cells, its picture, its story, and the line that runs it again."""

from __future__ import annotations

import base64

from qstress.report.bugs import Bug, bugs
from qstress.report.html.labels import Labels
from qstress.report.html.markup import Markup, join, tag
from qstress.report.html.run import Shown
from qstress.report.html.tables import TableData, table
from qstress.report.summary import repro_line
from qstress.report.wording import times

#: More bugs than this are in summary.json only; pictures and stories stay within so many bytes together.
BUGS_MAX = 20
PICTURE_BYTES, STORY_CHARS, ALL_PICTURES_BYTES = 80_000, 4_000, 200_000
#: So many of a bug's evidence folders are linked, and so many are looked through for a picture and a story.
LINKS_MAX, LOOKED_THROUGH = 12, 3


def bug_articles(run: Shown) -> Markup:
    """Return each bug: what it is, how often and where it was seen, its picture, and the line that runs it again."""
    found = bugs(run.tally.findings)
    if not found:
        return tag("p", "None.")
    left = ALL_PICTURES_BYTES
    parts: list[Markup] = []
    for bug in found[:BUGS_MAX]:
        svg = next((run.pictures[f].encode() for f in bug.evidence[:LOOKED_THROUGH] if f in run.pictures), b"")
        if len(svg) > min(left, PICTURE_BYTES):
            svg = b""
        left -= len(svg)
        parts.append(_article(bug, run, svg))
    if len(found) > BUGS_MAX:
        parts.append(tag("p", f"and {len(found) - BUGS_MAX} more: see summary.json", class_="more"))
    return join(parts)


def _article(bug: Bug, run: Shown, svg: bytes) -> Markup:
    stories = [run.stories[folder] for folder in bug.evidence[:LOOKED_THROUGH] if folder in run.stories]
    line = repro_line(bug, run.facts)
    return tag(
        "article",
        tag("h3", tag("span", bug.finding_class, class_="class"), " ", bug.title),
        _where(bug, run),
        _picture(bug, svg) if svg else None,
        tag("details", tag("summary", "What happened"), tag("pre", Markup(_lines(stories[0][:STORY_CHARS]))))
        if stories
        else None,
        _variants(bug) if len(bug.signatures) > 1 else None,
        _links(bug),
        tag("pre", tag("code", line), class_="command") if line else None,
    )


def _where(bug: Bug, run: Shown) -> Markup:
    """Return how often each cell showed it, in a sentence where there is only one."""
    labels = Labels(run.tally)
    uncounted = f", {bug.uncounted} of them in no rate: the block was not finished" if bug.uncounted else ""
    cells = [
        (cell.build.name, labels.stratum(cell.stratum) or f"smp {cell.stratum.shape.smp}", count)
        for cell, count in bug.cells.items()
    ]
    if len(cells) == 1:
        build, where, count = cells[0]
        return tag("p", f"{build}, {where}, seen {times(count)}{uncounted}.")
    shown = table(
        TableData(("build", "cell", "seen"), cells, frozenset({0, 1})), f"{bug.finding_class}: where it was seen"
    )
    return join(tag("p", f"Seen {times(bug.count)}{uncounted}."), shown)


def _picture(bug: Bug, svg: bytes) -> Markup:
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    name = f"Timeline: {bug.finding_class}"
    wide = tag("div", tag("img", src=source, alt=name), class_="scroll", tabindex=0, role="region", aria_label=name)
    return tag("figure", wide, tag("figcaption", name, class_="hidden"), aria_label=name)


def _variants(bug: Bug) -> Markup:
    rows = list(bug.signatures.items())
    shown = table(TableData(("signature", "seen"), rows), f"{bug.finding_class}: its variants")
    return tag("details", tag("summary", f"{len(rows)} variants"), shown)


def _links(bug: Bug) -> Markup:
    """Return links to the evidence beside the report: they work where the run's folder is whole."""
    if not bug.evidence:
        return tag("p", "No evidence was kept.", class_="dim")
    links = [(" ", tag("a", f"{folder}/", href=f"{folder}/")) for folder in bug.evidence[:LINKS_MAX]]
    more = len(bug.evidence) - LINKS_MAX
    return tag("p", "Evidence:", [part for link in links for part in link], f" and {more} more" if more > 0 else None)


def _lines(words: str) -> str:
    return "\n".join(join(line) for line in words.splitlines())
