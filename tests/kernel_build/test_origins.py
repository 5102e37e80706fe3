from __future__ import annotations

import lzma
import os
import subprocess
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.kernel_build.origins import base_config, describe_linux, is_package, source_tree, unpacked_at
from tests.host.hosts import program
from tests.kernel_build.linux import BASE, linux


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with linux-source-6.1 and linux-config-6.1: apt's commands on PATH, and a log of their lines."""
    log, source, config = tmp_path / "log", tmp_path / "p/linux-source-6.1", tmp_path / "p/linux-config-6.1"
    (source / "usr/src").mkdir(parents=True)
    linux(tmp_path / "unpacked/linux-source-6.1")
    archive = source / "usr/src/linux-source-6.1.tar.xz"
    subprocess.run(["tar", "-cJf", archive, "-C", tmp_path / "unpacked", "linux-source-6.1"], check=True)
    (config / "usr/src/linux-config-6.1").mkdir(parents=True)
    packed = lzma.compress("\n".join(BASE).encode())
    (config / "usr/src/linux-config-6.1/config.amd64_none_amd64.xz").write_bytes(packed)
    programs = tmp_path / "apt"
    program(programs, "apt-get", f"""echo "$*" >> {log}; for last; do :; done
        case "$*" in
            --print-uris*) echo "'http://example.org/s.deb' s.deb 139000000 SHA256:0";;
            *) : > "$last.deb";; esac
    """)  # fmt: skip
    program(programs, "dpkg-deb", f'mkdir -p "$3" && cp -r {tmp_path}/p/"${{2%.deb}}"/. "$3"')
    program(programs, "apt-cache", "printf '%s\\n' linux-config-6.1 linux-config-6.12")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return log


def test_a_tree_is_described_by_its_makefile(tmp_path: Path) -> None:
    assert describe_linux(linux(tmp_path)).version == "6.1.99"
    (tmp_path / "Kconfig").unlink()
    with pytest.raises(ConfigError, match="is not a Linux source tree with KVM for AMD: it has no file Kconfig"):
        describe_linux(tmp_path)


def test_a_source_package_is_unpacked_once_and_its_size_said_before(archive: Path, tmp_path: Path) -> None:
    said: list[str] = []
    tree = source_tree("linux-source-6.1", tmp_path / "work", said.append)
    assert tree == unpacked_at("linux-source-6.1", tmp_path / "work")
    assert describe_linux(tree).package == "linux-source-6.1"
    assert "downloading linux-source-6.1 (139 MB)" in said[0]
    assert source_tree("linux-source-6.1", tmp_path / "work", said.append) == tree
    assert len(said) == 1
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["linux-source-6.1"], "nothing half-made"


def test_anything_else_is_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_tree(str(tmp_path), tmp_path / "work", lambda line: None) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert is_package("linux-source-6.1")
    Path("linux-source-6.1").mkdir()
    assert source_tree("linux-source-6.1", Path("work"), lambda line: None) == Path("linux-source-6.1"), "it is here"


def test_the_configuration_is_the_distributions_for_that_version(archive: Path, tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        assert base_config(None, "6.1.99", tmp_path / "work", said.append) == ("linux-config-6.1", BASE)
    assert len(said) == 1
    with pytest.raises(RigError, match=r"no package linux-config-5\.10 here; name one of linux-config-6\.1, linux-con"):
        base_config(None, "5.10.218", tmp_path / "work", said.append)


def test_a_configuration_from_a_file(tmp_path: Path) -> None:
    for name, data in {"plain": "\n".join(BASE).encode(), "packed": lzma.compress("\n".join(BASE).encode())}.items():
        (tmp_path / name).write_bytes(data)
        assert list(base_config(str(tmp_path / name), "5.10", tmp_path, lambda line: None)[1]) == BASE
    (tmp_path / "plain").write_text("CONFIG_ARM64=y\n")
    with pytest.raises(ConfigError, match="not the configuration of a Linux kernel for x86-64"):
        base_config(str(tmp_path / "plain"), "6.1", tmp_path, lambda line: None)
    with pytest.raises(ConfigError, match="not a configuration that can be read"):
        base_config(str(tmp_path / "missing"), "6.1", tmp_path, lambda line: None)


def test_where_there_is_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="no apt-get here to fetch it with; name a source tree"):
        source_tree("linux-source-6.1", tmp_path / "work", lambda line: None)
