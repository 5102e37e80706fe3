"""The live panel holds what the snapshot says, on any width, without reading names as markup."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from qstress.report.live import renderable
from qstress.report.progress import BuildProgress, RunProgress

NOW = RunProgress(
    elapsed_s=100.0, trials=502, trials_planned=2000, left_s=298.0, share=0.25,
    builds=(BuildProgress("[red]stock", 31, 248, 33), BuildProgress("fixed", 0, 251, 0)),
    evidence_log10=9.17, lanes=2, running=1,
)  # fmt: skip


def drawn(now: RunProgress, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    console.print(renderable(now, "smp64 [bold]"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        "smp64 [bold]",
        "502 of 2000 in 1 min 40 s, about 4 min 58 s left",
        "[red]stock",
        "31/248 (8.6-17.3 %) hung + 2 other findings",
        "0/251 (<1.2 %) hung",
        "10^9.1 : 1",
        "5.02 trials/s, 1 guests in 2 lanes",
    ],
)
def test_the_panel_says(words: str) -> None:
    assert words in drawn(NOW)


def test_what_is_not_known_has_no_row() -> None:
    bare = RunProgress(0.0, 0, None, None, None, (BuildProgress("stock", 0, 0, 0),), None, 1, 0)
    text = drawn(bare)
    assert "0 in 0 s" in text
    for absent in ("progress", "evidence", "left", " of "):
        assert absent not in text


def test_a_narrow_terminal_is_no_error() -> None:
    assert max(map(len, drawn(NOW, 30).splitlines())) <= 30
