"""Every qstress command that a document shows is one: its name, its options, and the configurations that it names."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from qstress.cli import cli
from qstress.config.shipped import shipped
from tests.docs.markdown import DOCUMENTS, ROOT, code, prose

#: They say what was, under the names of that day.
HISTORY = [ROOT / "CHANGES.md", ROOT / "docs/measured-log.md", ROOT / "docs/measured.md"]
OF_GROUP = {"--version", "--help", "-h"}


def shown(text: str) -> list[str]:
    """Return the command lines of *text*: those in code blocks, and those in backticks.

    >>> shown("`qstress runs`\\n```\\n$ qstress soak -q  # why\\n    uvx qstress doctor\\nqstress 0.1: said\\n```")
    ['qstress soak -q  # why', 'qstress doctor', 'qstress runs']
    """
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = "\n".join(block for language, block in fences if not language)
    lines = re.findall(r"^ *(?:\$ |uvx )?(qstress -?-?[a-z].*)", blocks, re.MULTILINE)
    return lines + [span for span in code(prose(text)) if re.match(r"qstress -?-?[a-z]", span)]


def problems(line: str) -> list[str]:
    """Return what the command line has no meaning for.

    >>> problems("qstress soak --config smp64.yaml --set a=1"), problems("qstress soak --sed 1"), problems("qstress so")
    ([], ['--sed'], ['so'])
    """
    words = shlex.split(line.replace("…", "").replace("'", ""), comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    words = words[: words.index("--")] if "--" in words else words
    known = {flag for each in command.params for flag in each.opts} | OF_GROUP
    if command.name == "nightly":  # it passes what it does not know on
        known |= {flag for each in cli.commands["soak"].params for flag in each.opts}
    wrong = [word for word in words if word.startswith("-") and word.strip("[]") not in known]
    configs = [after for word, after in zip(words, words[1:], strict=False) if word in ("-c", "--config")]
    names = [name for name in configs if name.islower() and "/" not in name and not name.startswith("my")]
    return wrong + [name for name in names if name.removesuffix(".yaml") not in shipped()]


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each not in HISTORY], ids=lambda path: path.name)
def test_every_command_that_is_shown_is_one(document: Path) -> None:
    assert {line: wrong for line in shown(document.read_text()) if (wrong := problems(line))} == {}


def test_commands_are_found() -> None:
    assert doctest.testmod(sys.modules[__name__]).failed == 0
    assert len(shown((ROOT / "README.md").read_text())) > 10
    assert len(shown((ROOT / "docs/patched-or-not.md").read_text())) > 5
