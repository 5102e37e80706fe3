"""Every link of every document leads somewhere, and so does every path that a guide names."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.docs import markdown
from tests.docs.markdown import DOCUMENTS, ROOT, anchors, code, links, prose

#: Folders whose paths a document may name.
OURS = ("qstress", "tests", "tools", "docs", "configs", "dashboards", "packaging")
#: They say what was, under the names of that day.
HISTORY = [ROOT / "CHANGES.md", ROOT / "docs/measured-log.md"]
#: They tell a stranger where to look.
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def broken(document: Path, text: str) -> list[str]:
    """Return the links of *text* that lead nowhere, seen from where *document* lies."""
    found = []
    for target in links(text):
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere
        path, _, anchor = target.partition("#")
        to = (document.parent / path).resolve() if path else document
        if not to.exists() or (anchor and anchor not in anchors(to.read_text())):
            found.append(target)
    return found


def test_markdown_is_read_as_its_examples_say() -> None:
    assert doctest.testmod(markdown).failed == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    assert broken(document, document.read_text()) == []


def test_a_link_that_leads_nowhere_is_seen() -> None:
    document = ROOT / "docs/fuzzing.md"
    text = "[a](nowhere.md) [b](fuzzing.md#nowhere) [c](../README.md#two-commands) [d](#a-finding) [e](https://x.org)"
    assert broken(document, text) == ["nowhere.md", "fuzzing.md#nowhere"]


@pytest.mark.parametrize("document", GUIDES, ids=name)
def test_files_that_guides_name_exist(document: Path) -> None:
    paths = [word for word in code(prose(document.read_text())) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+", word)]
    files = [word for word in paths if re.search(r"\.(py|md|yaml|yml|c|asm|json|svg|sql|toml|patch|txt)$", word)]
    assert files, "a guide names files"
    missing = [word for word in files if not ((ROOT / word).exists() or (ROOT / "qstress" / word).exists())]
    assert missing == []


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each not in HISTORY], ids=name)
def test_paths_of_the_repository_exist(document: Path) -> None:
    words = {word for span in code(prose(document.read_text())) for word in span.split()}
    paths = {word.rstrip("/") for word in words if re.fullmatch(rf"({'|'.join(OURS)})/[\w./-]+", word)}
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
