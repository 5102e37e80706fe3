"""The library of planted faults (``planted.c``), built once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("planted.c")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The built library's path, for ``LD_PRELOAD``."""
    library = tmp_path_factory.mktemp("planted") / "planted.so"
    flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["cc", *flags, "-o", library, SOURCE, "-ldl"], check=True)
    return str(library)
