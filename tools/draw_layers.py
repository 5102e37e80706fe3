"""``docs/layers.svg``: the import contract of ``pyproject.toml`` as a picture, so that the picture cannot go stale.

``python -m tools.draw_layers`` writes it again after the contract has changed; a test compares the two.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs/layers.svg"

WIDTH, ROW, GAP, MARGIN, LEGEND = 760, 34, 8, 10, 30
LEGEND_TEXT = "pure: no loop, process, socket or database. Imports only go down; neighbours never import each other."

STYLE = """\
<style>
text { font: 13px ui-monospace, monospace; text-anchor: middle; dominant-baseline: central; fill: #1c2733; }
.note { font: 12px system-ui, sans-serif; text-anchor: start; }
rect { fill: #e8edf2; stroke: #8193a5; }
.pure { fill: #d7ecd9; stroke: #6b9a70; }
@media (prefers-color-scheme: dark) {
  text { fill: #e3e9ef; }
  rect { fill: #2b3641; stroke: #718496; }
  .pure { fill: #24402a; stroke: #6b9a70; }
}
</style>"""


def contract(pyproject: str) -> tuple[list[list[str]], frozenset[str]]:
    """Return the layers of the package, top first and each as the names in it, and the names that are pure as a whole.

    :param pyproject: the text of ``pyproject.toml``.
    :raises ValueError: it has no contract over the layers of ``qstress``.
    """
    contracts = tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
    layers = next((c["layers"] for c in contracts if c["type"] == "layers" and c["containers"] == ["qstress"]), None)
    if layers is None:
        raise ValueError("pyproject.toml has no layers of qstress")
    forbidden = (name for c in contracts if c["type"] == "forbidden" for name in c["source_modules"])
    pure = frozenset(name.removeprefix("qstress.") for name in forbidden)
    return [[name.strip() for name in layer.split("|")] for layer in layers], pure


def svg(layers: Iterable[list[str]], pure: Iterable[str]) -> str:
    """Return the picture: one row for each layer, the top one first, one box for each name."""
    rows, whole = list(layers), set(pure)
    height = 2 * MARGIN + LEGEND + len(rows) * (ROW + GAP)
    boxes = [line for row, names in enumerate(rows) for line in _row(names, MARGIN + row * (ROW + GAP), whole)]
    legend = height - MARGIN - LEGEND / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>The rooms of qstress: imports only go down</title>",
            STYLE,
            *boxes,
            f'<rect class="pure" x="{MARGIN}" y="{legend - 8:g}" width="24" height="16" rx="3"/>',
            f'<text class="note" x="{MARGIN + 34}" y="{legend:g}">{LEGEND_TEXT}</text>',
            "</svg>\n",
        ]
    )


def _row(names: list[str], y: int, pure: set[str]) -> Iterator[str]:
    width = (WIDTH - 2 * MARGIN - (len(names) - 1) * GAP) / len(names)
    for column, name in enumerate(names):
        x = MARGIN + column * (width + GAP)
        look = ' class="pure"' if name in pure else ""
        yield f'<rect{look} x="{x:g}" y="{y}" width="{width:g}" height="{ROW}" rx="4"/>'
        yield f'<text x="{x + width / 2:g}" y="{y + ROW / 2:g}">{name}</text>'


def drawn() -> str:
    """Return the picture of the contract as it is now."""
    return svg(*contract((ROOT / "pyproject.toml").read_text()))


if __name__ == "__main__":
    PICTURE.write_text(drawn())
