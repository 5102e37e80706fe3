"""What the tests of the interposer need: an empty cache, a KVM that is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    return tmp_path / "cache" / "qstress"


@pytest.fixture(scope="session")
def fake_kvm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose ioctl() is a small KVM; see ``fake_kvm.c``."""
    path = tmp_path_factory.mktemp("fake") / "fake.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(path), str(HERE / "fake_kvm.c")], check=True)
    return path
