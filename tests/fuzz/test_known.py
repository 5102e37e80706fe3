"""The file of known findings: what it covers, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.fuzz.known import KnownFinding, covering, load_known

GOOD = """\
version: 1
known:
  - {title: "crash: SIGSEGV at *save", link: "https://example.org/1", until: "8.0"}
  - {title: "not JSON: inf", link: see below}
"""


def test_a_title_is_covered_until_the_version_that_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    path.write_text(GOOD)
    known = load_known(path)
    assert known[1] == KnownFinding("not JSON: inf", "see below")
    assert covering(known, "crash: SIGSEGV at pmemsave", "7.2.22") == known[0]
    assert covering(known, "crash: SIGSEGV at pmemsave", "8.0.0") is None
    assert covering(known, "crash: SIGSEGV at pmemsave", "10.0.13") is None
    assert covering(known, "crash: SIGABRT at pmemsave", "7.2.22") is None
    assert covering(known, "not JSON: inf", "10.0.13") == known[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 1\n", "1:1: file: must have  version: 1  and  known:"),
        ("version: 2\nknown: []\n", "1:1: file: must have  version: 1"),
        ("version: 1\nknown: 5\n", "2:8: known: 5 is not a list"),
        ("version: 1\nknown: [x]\n", "2:9: known[0]: 'x' is not a mapping"),
        ("version: 1\nknown:\n  - {title: t}\n", "3:5: known[0].link: is missing"),
        ("version: 1\nknown:\n  - {title: t, link: l, when: x}\n", "3:25: known[0].when: unknown key"),
        ("version: 1\nknown:\n  - {title: t, link: l, until: 8.0}\n", "3:32: known[0].until: 8.0 is not text"),
        ("version: 1\nknown:\n  - {title: t, link: l, until: soon}\n", "3:32: known[0].until: 'soon' is not a version"),
        ("version: 1\nknown: [\n", "known.yaml:"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_column(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "known.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_known(path)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_known(tmp_path / "none.yaml")
