"""The committed ROM, its options, and its build. Rebuilding needs nasm and is skipped, plainly, where there is none."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.firmware import rom
from qstress.firmware.rom import SmpscanOptions, arguments, available, build, find
from qstress.model import Accel, Shape


def test_the_rom_is_there_and_intact() -> None:
    rom = find()
    assert rom.is_absolute()
    assert rom.stat().st_size == 64 * 1024
    assert [(rom.name, rom.intact) for rom in available()] == [("smpscan", True)]


@pytest.mark.skipif(shutil.which("nasm") is None, reason="no nasm: NOT shown that the committed ROM is its source's")
def test_the_committed_rom_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    assert build(tmp_path / "again.bin").read_bytes() == find().read_bytes()


def test_the_rom_has_our_code_at_the_reset_vector_only_as_a_jump_to_its_start() -> None:
    rom = find().read_bytes()
    assert rom[0xFFF0] == 0xE9  # jmp rel16
    assert (0xFFF3 + int.from_bytes(rom[0xFFF1:0xFFF3], "little")) & 0xFFFF == 0


def test_the_installed_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "installed"
    shutil.copytree(find().parent, installed)
    monkeypatch.setattr(rom, "FOLDERS", (installed, *rom.FOLDERS))
    assert find() == installed / "smpscan.bin"
    assert len(available()) == 1


@pytest.mark.parametrize("spoil", ["byte", "sums"])
def test_a_rom_that_is_not_the_committed_one_is_refused(
    spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = find().read_bytes()
    (tmp_path / "smpscan.bin").write_bytes(content[:-1] + bytes((content[-1] ^ (spoil == "byte"),)))
    if spoil == "byte":
        shutil.copy(find().with_name("SHA256SUMS"), tmp_path)
    monkeypatch.setattr(rom, "FOLDERS", (tmp_path,))
    assert [each.intact for each in available()] == [False]
    with pytest.raises(RigError, match="checksum") as caught:
        find()
    assert caught.value.reason == "firmware"


def test_no_rom_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rom, "FOLDERS", (tmp_path / "nowhere",))
    with pytest.raises(RigError, match="nowhere"):
        find()


def test_options_are_numbers_in_the_roms_order() -> None:
    assert arguments(SmpscanOptions(after="reset", leave_out=3, every=10)) == (
        "-fw_cfg",
        (
            "name=opt/qstress/options,string=deadline_us=50000 after=1 missing=0 rounds=0 leave_out=3 every=10 "
            "payload=0 storm_us=0 settle_us=0"
        ),
    )


def test_a_shape_with_a_storm_gets_one_after_each_bringup() -> None:
    shape = Shape(4, "pc", Accel.TCG, 32 << 20, "smpscan", restart="reset", storm_s=0.02)
    assert rom.chosen(shape)[-1].endswith(
        "after=1 missing=0 rounds=0 leave_out=0 every=1 payload=2 storm_us=20000 settle_us=0"
    )
    assert rom.chosen(replace(shape, storm_s=0.0))[-1].endswith("payload=0 storm_us=0 settle_us=0")


def test_a_shape_that_settles_says_for_how_long() -> None:
    shape = Shape(4, "pc", Accel.KVM, 32 << 20, "smpscan", settle_s=0.0015)
    assert rom.chosen(shape)[-1].endswith(" settle_us=1500")


def test_no_options_name_has_a_digit_or_a_comma() -> None:
    # The ROM takes every run of digits as the next number; QEMU would split at a comma.
    assert not any(character.isdigit() for option in fields(SmpscanOptions) for character in option.name)
    assert arguments(SmpscanOptions())[1].count(",") == 1


@pytest.mark.parametrize("options", [SmpscanOptions(rounds=-1), SmpscanOptions(deadline_us=1 << 32)])
def test_what_does_not_fit_is_refused(options: SmpscanOptions) -> None:
    with pytest.raises(ConfigError, match="must be from 0 to"):
        arguments(options)


def test_a_build_without_nasm_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="apt install nasm"):
        build(tmp_path / "x.bin")


def test_a_build_without_the_source_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rom, "SOURCE", tmp_path / "smpscan.asm")
    with pytest.raises(RigError, match="only a checkout"):
        build(tmp_path / "x.bin")


@pytest.mark.skipif(shutil.which("nasm") is None, reason="no nasm")
def test_what_nasm_refuses_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smpscan.asm").write_text("nonsense here\n")
    monkeypatch.setattr(rom, "SOURCE", tmp_path / "smpscan.asm")
    with pytest.raises(RigError, match="nasm failed"):
        build(tmp_path / "x.bin")
