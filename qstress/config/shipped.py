"""The configurations that come with qstress, found by name from a package and from a checkout alike."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from qstress.config.checked import closest
from qstress.errors import ConfigError

_MODELINE = "# yaml-language-server:"
_PACKAGE = Path(__file__).parent.parent
#: Where they lie: in the installed package, in the checkout.
FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def shipped() -> dict[str, Path]:
    """Return the path of each shipped configuration by its name, without the ending, in order of name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder else {}


def find_config(given: Path) -> Path:
    """Return the file that *given* names: the file itself where there is one, else the shipped configuration of that
    name, with or without its ending.

    :raises ConfigError: *given* is a bare name, and neither a file nor a configuration that is shipped.
    """
    if (given.exists() and not given.is_dir()) or given.parent != Path() or given.suffix not in ("", ".yaml", ".yml"):
        return given  # a path that is wrong is refused where it is read
    known = shipped()
    if given.stem in known:
        return known[given.stem]
    hint = closest(given.stem, known)
    raise ConfigError(
        f"{given}: there is no such file, and no configuration of that name is shipped{hint}; qstress config list"
    )


def own_copy(path: Path) -> str:
    """Return the text of a shipped configuration for a folder of the user's: without the line that tells editors of the
    schema, for that is named relative to the file."""
    return "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(_MODELINE))


def first_sentence(path: Path) -> str:
    """Return the first sentence of the comment that a shipped configuration begins with; empty without one."""
    lines = takewhile(lambda line: line.startswith("# "), path.read_text().splitlines())
    sentence = re.match(r".*?[.?](?= |$)", " ".join(line[2:] for line in lines))
    return sentence[0] if sentence else ""
