"""The findings of a report: each kind with its picture, its story, and the line that runs it again."""

from __future__ import annotations

import base64

from qstress.report.html.labels import Labels
from qstress.report.html.markup import Markup, join, tag
from qstress.report.html.run import Shown
from qstress.report.summary import repro_line
from qstress.stats.tally import Finding

#: More findings than this are in summary.json only; pictures and stories stay within so many bytes together.
FINDINGS_MAX = 20
PICTURE_BYTES, STORY_CHARS, ALL_PICTURES_BYTES = 80_000, 4_000, 200_000


def findings(run: Shown) -> Markup:
    """Return each kind of finding: what it is, how often, its picture, and the line that runs it again."""
    kinds = run.tally.findings
    if not kinds:
        return tag("p", "None.")
    left = ALL_PICTURES_BYTES
    parts: list[Markup] = []
    for finding in kinds[:FINDINGS_MAX]:
        svg = run.pictures.get(finding.evidence, "").encode()
        if len(svg) > min(left, PICTURE_BYTES):
            svg = b""
        left -= len(svg)
        parts.append(_finding(finding, run, svg))
    if len(kinds) > FINDINGS_MAX:
        parts.append(tag("p", f"and {len(kinds) - FINDINGS_MAX} more kinds: see summary.json", class_="more"))
    return join(parts)


def _finding(finding: Finding, run: Shown, svg: bytes) -> Markup:
    stratum = finding.cell.stratum
    where = Labels(run.tally).stratum(stratum) or f"smp {stratum.shape.smp}"
    seen = "seen once" if finding.count == 1 else f"seen {finding.count} times"
    if finding.uncounted:
        seen += f", {finding.uncounted} of them in no rate: the block was not finished"
    picture, story = None, run.stories.get(finding.evidence, "")[:STORY_CHARS]
    if svg:
        source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        name = f"Timeline: {finding.finding_class}, {finding.cell.build.name}, {where}"
        picture = tag(
            "figure", tag("img", src=source, alt=name), tag("figcaption", name, class_="hidden"), aria_label=name
        )
    line = repro_line(finding, run.facts)
    return tag(
        "article",
        tag("h3", tag("span", finding.finding_class, class_="class"), " ", finding.title),
        tag("p", f"{finding.cell.build.name}, {where}, {seen}. ", tag("span", finding.signature, class_="dim")),
        picture,
        tag("details", tag("summary", "What happened"), tag("pre", Markup(_lines(story)))) if story else None,
        tag("pre", tag("code", line), class_="command") if line else tag("p", "No evidence was kept.", class_="dim"),
    )


def _lines(words: str) -> str:
    return "\n".join(join(line) for line in words.splitlines())
