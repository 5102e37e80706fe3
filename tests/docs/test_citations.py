"""What the code cites is in the repository: a document and a heading in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, headings

FOLDERS = ("qstress", "tests", "tools", "firmware", "dashboards", "packaging", "configs", ".ci")
SUFFIXES = (".py", ".c", ".asm", ".css", ".sql", ".yml", ".yaml", ".toml", ".service", "")
#: One form, also where it goes on in the next line of a comment: docs/background/race.md, "The fix".
CITATION = re.compile(r'(docs/[\w/.-]*\.md)(?:, "([^"]+)")?')
#: Documents that are cited by heading only: they are long.
LONG = ("docs/background/", "docs/architecture.md", "docs/reference.md")
#: Notes that lay beside the repository once.
ELSEWHERE = re.compile(
    r"\b(?:design|interface)\.md|(?<![\w/])facts[:,]\s*(?:[\w-]+\.md|$)|\.\./shared|"
    r"(?<![\w/.])(?:qemu|race|statistics)\.md\b|\bthe facts'|\bby the facts\b"
)


def sources() -> Iterator[Path]:
    """Yield every file of code but the tests of the documents, which name them to open them."""
    yield from (ROOT / "Makefile", ROOT / "Containerfile", ROOT / "pyproject.toml")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            ours = path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
            if ours and path.parent != Path(__file__).parent:
                yield path


def joined(text: str) -> str:
    """Return *text* in one line, without the marks of comments: a citation may be broken anywhere."""
    return re.sub(r"\s*\n[ \t]*(?:#:?|;|//|\*)?[ \t]*", " ", text.replace('\\"', '"'))


def wrong(text: str) -> list[str]:
    """Return the citations of *text* that name no document, no heading, or a note beside the repository."""
    found = [match[0] for match in ELSEWHERE.finditer(joined(text))]
    for match in CITATION.finditer(joined(text)):
        document, heading = match.groups()
        there = headings((ROOT / document).read_text()) if (ROOT / document).is_file() else None
        enough = not document.startswith(LONG) if heading is None else there is not None and heading in there
        if there is None or not enough:
            found.append(match[0])
    return found


def test_what_code_cites_is_there() -> None:
    cited = {str(path.relative_to(ROOT)): wrong(path.read_text(errors="replace")) for path in sources()}
    assert {path: found for path, found in cited.items() if found} == {}


@pytest.mark.parametrize(
    "text",
    [
        'docs/background/race.md, "The fix"',
        '# as docs/background/race.md,\n    # "The fix" says',
        '"docs/background/race.md, \\"The fix\\""',
        "docs/measured.md has the figures",
        "def check(facts: KvmFacts) -> None: ...  # the facts: what KVM can do",
    ],
)
def test_a_right_citation_is_taken(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize(
    "text",
    [
        'docs/background/race.md, "The cure"',
        'docs/background/races.md, "The fix"',
        "docs/background/race.md",
        "docs/reference.md",
        "(design.md, 4.5)",
        "interface.md",
        "(facts: race.md)",
        "(facts:\n    qemu.md section 2)",
        "facts, statistics.md",
        "../shared/facts",
    ],
)
def test_a_wrong_citation_is_seen(text: str) -> None:
    assert len(wrong(text)) >= 1
