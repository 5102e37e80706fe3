"""As much of Markdown as the tests of the documents need: headings, anchors, links, tables, code."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Every document of the repository: its own folders, not what a virtual environment or a run brought.
DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *(path for folder in ("docs", "firmware", ".github", "configs") for path in (ROOT / folder).rglob("*.md")),
    }
)

_FENCE = re.compile(r"^(```|~~~).*?^\1[`~]*$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\))?)\)")


def prose(text: str) -> str:
    """Return *text* without its code blocks.

    >>> prose("a\\n```\\n# no heading\\n```\\nb")
    'a\\n\\nb'
    """
    return _FENCE.sub("", text)


def headings(text: str) -> list[str]:
    """Return the headings as a citation writes them, without marks of code and links.

    >>> headings("# A `b` c\\n\\n## [d](e.md)")
    ['A b c', 'd']
    """
    return [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", found).replace("`", "") for found in _HEADING.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings: a heading that comes again gets a number.

    >>> sorted(anchors("# A b: c's (d)\\n# A_b\\n# A_b"))
    ['a-b-cs-d', 'a_b', 'a_b-1']
    """
    seen: Counter[str] = Counter()
    made = set()
    for heading in headings(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made


def links(text: str) -> list[str]:
    """Return the targets of links and pictures, those within code left out.

    >>> links("[a](b.md#c) ![d](e.svg) `[f](g)`")
    ['b.md#c', 'e.svg']
    """
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(text)))


def section(text: str, heading: str) -> str:
    """Return what stands below *heading*, up to the next one of its level or above.

    :raises ValueError: there is no such heading.
    """
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"no heading {heading!r}")
    rest = text[match.end() :]
    after = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: after.start()] if after else rest


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table's rows, heads and rules left out.

    >>> rows("| a | b |\\n|---|---|\\n| `c` | d \\\\| e |")
    [['`c`', 'd | e']]
    """
    lines = text.splitlines()
    heads = {number for number, line in enumerate(lines) if re.match(r"\|[-|: ]+\|$", line)}
    return [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for number, line in enumerate(lines)
        if line.startswith("|") and number not in heads and number + 1 not in heads
    ]


def code(text: str) -> list[str]:
    """Return what stands in backticks on one line.

    >>> code("`a` and `b c`")
    ['a', 'b c']
    """
    return re.findall(r"`([^`\n]+)`", text)
