"""``qstress bisect``, as far as it refuses; tests/live/test_bisect.py has it find something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import qstress

CONFIG = """\
version: 1
name: b
builds: {q: {binary: qemu-system-x86_64}}
guest: {accel: tcg}
stop: {trials: 1}
"""


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (("--class", "nonsense"), 2, "--class nonsense: one of lost-init"),
        ((), 2, "not a git repository"),
        (("--step",), 128, "qstress: "),
        (("--confidence", "1"), 2, "--confidence"),
    ],
)
def test_what_it_cannot_do_is_one_clear_line(tmp_path: Path, more: tuple[str, ...], status: int, words: str) -> None:
    (tmp_path / "b.yaml").write_text(CONFIG)
    done = qstress("bisect", "--source", ".", "--good", "a", "--bad", "b", "-c", "b.yaml", *more, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
