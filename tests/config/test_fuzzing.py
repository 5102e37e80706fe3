from __future__ import annotations

from pathlib import Path

import pytest

from qstress.config.fuzzing import fuzz_settings
from qstress.config.load import load_config_text
from qstress.config.schema import Config
from qstress.errors import ConfigError

SESSION = """\
version: 1
name: session
builds:
  stock: {binary: qemu-system-x86_64}
guest: {accel: tcg, smp: 2}
stop: {duration: 10s}
fuzz: {known: known.yaml, depth: 3}
"""


def read(text: str) -> Config:
    return load_config_text(text, "session.yaml")


def test_paths_are_relative_to_the_files_folder() -> None:
    settings = fuzz_settings(read(SESSION), Path("/somewhere"))
    assert (settings.known, settings.depth) == (Path("/somewhere/known.yaml"), 3)
    assert fuzz_settings(read(SESSION.replace("known: known.yaml, ", "")), Path("/somewhere")).known is None


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("smp: 2", "smp: [2, 4]", "guest.smp: must be one for fuzzing"),
        ("  stock:", "  other: {binary: x}\n  stock:", "builds: must be one for fuzzing"),
        ("smp: 2", "firmware: smpscan", "guest.firmware: smpscan cannot be fuzzed"),
    ],
)
def test_what_a_session_cannot_mean_is_refused(old: str, new: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        fuzz_settings(read(SESSION.replace(old, new)), Path("/"))
