from __future__ import annotations

from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.qemu_build.compiler import clean_environ, compiler_command, compiler_version
from tests.host.hosts import program


def test_the_compiler_is_the_environments_or_cc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    assert compiler_command() == ["cc"]
    monkeypatch.setenv("CC", f"{program(tmp_path, 'other', 'echo other-cc 1.0; echo more')} -m64")
    assert compiler_command()[1:] == ["-m64"]
    assert compiler_version() == "other-cc 1.0"


def test_a_host_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-cc")
    with pytest.raises(RigError, match="there is no C compiler no-such-cc; install the Debian package gcc"):
        compiler_version()


def test_nothing_changes_a_build_behind_its_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CC", "CFLAGS", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "x")
    assert not {"CC", "CFLAGS", "VIRTUAL_ENV"} & clean_environ().keys()
    assert clean_environ()["LC_ALL"] == "C"
