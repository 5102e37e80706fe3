"""The committed ROM and its build. Rebuilding needs nasm and is skipped, plainly, where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.firmware import rom
from qstress.firmware.rom import assemble, available_roms, find_rom
from tools import prebuild_linux_init


def test_the_rom_is_there_and_intact() -> None:
    rom = find_rom("smpscan")
    assert rom.is_absolute()
    assert rom.stat().st_size == 64 * 1024
    assert [(rom.name, rom.intact) for rom in available_roms()] == [("linux-init", True), ("smpscan", True)]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no cc: NOT shown that the initramfs is its source's")
def test_the_committed_initramfs_is_rebuilt_byte_for_byte() -> None:
    said = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    committed = find_rom("linux-init").read_bytes()
    if b"GCC: " + said.partition(" ")[2].encode() not in committed:
        pytest.skip(f"made by another compiler than {said}: NOT shown that it is the source's")
    assert prebuild_linux_init.build() == committed


@pytest.mark.skipif(shutil.which("nasm") is None, reason="no nasm: NOT shown that the committed ROM is its source's")
def test_the_committed_rom_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    assert assemble("smpscan", tmp_path / "again.bin").read_bytes() == find_rom("smpscan").read_bytes()


def test_the_rom_has_our_code_at_the_reset_vector_only_as_a_jump_to_its_start() -> None:
    rom = find_rom("smpscan").read_bytes()
    assert rom[0xFFF0] == 0xE9  # jmp rel16
    assert (0xFFF3 + int.from_bytes(rom[0xFFF1:0xFFF3], "little")) & 0xFFFF == 0


def test_the_installed_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "installed"
    shutil.copytree(find_rom("smpscan").parent, installed)
    monkeypatch.setattr(rom, "FOLDERS", (installed, *rom.FOLDERS))
    assert find_rom("smpscan") == installed / "smpscan.bin"
    assert len(available_roms()) == 2


@pytest.mark.parametrize("spoil", ["byte", "sums"])
def test_a_rom_that_is_not_the_committed_one_is_refused(
    spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = find_rom("smpscan").read_bytes()
    (tmp_path / "smpscan.bin").write_bytes(content[:-1] + bytes((content[-1] ^ (spoil == "byte"),)))
    if spoil == "byte":
        shutil.copy(find_rom("smpscan").with_name("SHA256SUMS"), tmp_path)
    monkeypatch.setattr(rom, "FOLDERS", (tmp_path,))
    assert [each.intact for each in available_roms()] == [False]
    with pytest.raises(RigError, match="checksum") as caught:
        find_rom("smpscan")
    assert caught.value.reason == "firmware"


def test_no_rom_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rom, "FOLDERS", (tmp_path / "nowhere",))
    with pytest.raises(RigError, match="nowhere"):
        find_rom("smpscan")


def test_a_build_without_nasm_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="apt install nasm"):
        assemble("smpscan", tmp_path / "x.bin")


def test_a_build_without_the_source_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rom, "SOURCES", tmp_path)
    with pytest.raises(RigError, match="only a checkout"):
        assemble("smpscan", tmp_path / "x.bin")


@pytest.mark.skipif(shutil.which("nasm") is None, reason="no nasm")
def test_what_nasm_refuses_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smpscan.asm").write_text("nonsense here\n")
    monkeypatch.setattr(rom, "SOURCES", tmp_path)
    with pytest.raises(RigError, match="nasm failed"):
        assemble("smpscan", tmp_path / "x.bin")
