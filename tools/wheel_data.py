"""What a wheel holds beside the package: a man page for each command and completions for bash, zsh and fish, made from
the command line itself while the wheel is built (hatchling calls this, see ``pyproject.toml``)."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete
from click_man.core import write_man_pages
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.utils import get_reproducible_timestamp

#: Where a shell looks for the completions of ``qstress``, below the prefix.
COMPLETIONS: dict[str, type[ShellComplete]] = {
    "share/bash-completion/completions/qstress": BashComplete,
    "share/zsh/site-functions/_qstress": ZshComplete,
    "share/fish/vendor_completions.d/qstress.fish": FishComplete,
}
_LONGEST_NAME_LINE = 400


class WheelData(BuildHookInterface):  # type: ignore[type-arg]  # of no configuration of its own
    """Hatchling's hook: adds the files to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the files in a folder that lives as long as the build."""
        sys.path.insert(0, self.root)
        from qstress import __version__
        from qstress.cli import cli

        self.folder = tempfile.TemporaryDirectory()
        for path in (*man_pages(cli, __version__, Path(self.folder.name)), *completions(cli, Path(self.folder.name))):
            build_data["shared_data"][str(path)] = str(path.relative_to(self.folder.name))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove them again."""
        self.folder.cleanup()


def man_pages(cli: click.Group, version: str, prefix: Path) -> list[Path]:
    """Write a man page for *cli* and each command below it to ``share/man/man1`` below *prefix*; return them."""
    folder = prefix / "share/man/man1"
    folder.mkdir(parents=True)
    for command in _commands(cli):  # click-man cuts what a page's name says after 45 letters
        command.short_help = command.get_short_help_str(_LONGEST_NAME_LINE)
    date = datetime.fromtimestamp(get_reproducible_timestamp(), UTC).date()
    write_man_pages("qstress", cli, version=version, target_dir=str(folder), date=str(date))
    for page in folder.iterdir():  # click-man names the pages of "qstress host" as "qstress host-run(1)"
        page.write_text(re.sub(r"\\fBqstress (\w+)-(\w+)\(1\)", r"\\fBqstress-\1-\2(1)", page.read_text()))
    return sorted(folder.iterdir())


def completions(cli: click.Group, prefix: Path) -> list[Path]:
    """Write the scripts by which shells complete ``qstress`` to their places below *prefix*; return them."""
    for place, shell in COMPLETIONS.items():
        script = shell(cli, {}, "qstress", "_QSTRESS_COMPLETE")
        (prefix / place).parent.mkdir(parents=True)
        (prefix / place).write_text(script.source_template % script.source_vars())
    return [prefix / place for place in COMPLETIONS]


def _commands(group: click.Group) -> Iterator[click.Command]:
    yield group
    for command in group.commands.values():
        yield from _commands(command) if isinstance(command, click.Group) else (command,)
