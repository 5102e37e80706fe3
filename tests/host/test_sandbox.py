from __future__ import annotations

from pathlib import Path

import pytest

from qstress.host.sandbox import has_sandbox
from tests.samples import build


def binary(folder: Path, script: str) -> str:
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'qemu: -sandbox: sandbox support is not enabled in this QEMU binary' >&2; exit 1", False),
        ("echo 'something else' >&2; exit 1", True),
        ("cat >/dev/null", True),
    ],
)
def test_only_a_refusal_that_names_the_sandbox_is_a_no(tmp_path: Path, script: str, expected: bool) -> None:
    assert has_sandbox(build(binary=binary(tmp_path, script))) is expected


def test_a_binary_that_cannot_run_is_left_to_the_first_trial() -> None:
    assert has_sandbox(build(binary="/nonexistent/qemu"))


def test_no_qemu_is_left_where_we_are_killed_as_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the signal for its parent's death is set, it would wait for its monitor for ever."""
    monkeypatch.setattr("os.getpid", lambda: 1)  # so its parent is not the one that started it
    assert has_sandbox(build(binary=binary(tmp_path, f"touch {tmp_path}/started")))
    assert not (tmp_path / "started").exists()


@pytest.mark.qemu
def test_a_real_qemu_is_asked_and_is_gone_afterwards() -> None:
    assert has_sandbox(build(binary="qemu-system-x86_64"))
