from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qstress.errors import ConfigError
from qstress.firmware.pflash import PAIRS, find_pflash


def image(root: Path, name: str) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return f"/{name}"


def describe(root: Path, name: str, folder: str = "usr/share/qemu/firmware", **changes: Any) -> None:
    """Write a description as a distribution does, and its images."""
    stem = name.removesuffix(".json")
    files = {key: {"filename": image(root, f"fw/{stem}.{key}"), "format": "raw"} for key in ("executable", "vars")}
    told = {
        "description": "UEFI", "interface-types": ["uefi"], "features": ["acpi-s3"],
        "mapping": {"device": "flash", "executable": files["executable"], "nvram-template": files["vars"]},
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
    }  # fmt: skip
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_text(json.dumps(told | changes))


def found(root: Path) -> str:
    code, variables = find_pflash(root)
    assert Path(code).with_suffix(".vars") == Path(variables)
    return Path(code).stem


def test_the_most_preferred_that_needs_no_smm_is_taken(tmp_path: Path) -> None:
    describe(tmp_path, "40-secure.json", features=["requires-smm", "secure-boot"])
    describe(tmp_path, "60-plain.json")
    describe(tmp_path, "70-later.json")
    assert found(tmp_path) == "60-plain"


@pytest.mark.parametrize(
    "changes",
    [
        {"interface-types": ["bios"]},
        {"targets": [{"architecture": "aarch64", "machines": ["virt-*"]}]},
        {"mapping": {"device": "memory", "filename": "/fw/x"}},
        {"mapping": {"device": "flash", "mode": "stateless", "executable": {"filename": "/fw/x", "format": "raw"}}},
        {"mapping": 3},
        {"targets": None},
    ],
)
def test_what_does_not_fit_or_is_no_description_is_passed_over(tmp_path: Path, changes: dict[str, Any]) -> None:
    describe(tmp_path, "10-other.json", **changes)
    describe(tmp_path, "60-plain.json")
    assert found(tmp_path) == "60-plain"


def test_the_administrator_goes_before_the_distribution(tmp_path: Path) -> None:
    describe(tmp_path, "60-plain.json")
    describe(tmp_path, "60-plain.json", "etc/qemu/firmware", **{"interface-types": ["bios"]})
    describe(tmp_path, "70-own.json", "etc/qemu/firmware")
    assert found(tmp_path) == "70-own"


def test_without_descriptions_the_usual_places_are_tried(tmp_path: Path) -> None:
    for name in PAIRS[1]:
        image(tmp_path, name)
    assert find_pflash(tmp_path) == tuple(str(tmp_path / name) for name in PAIRS[1])


def test_one_whose_images_are_gone_is_passed_over(tmp_path: Path) -> None:
    describe(tmp_path, "50-gone.json")
    (tmp_path / "fw/50-gone.vars").unlink()
    (tmp_path / "usr/share/qemu/firmware/20-broken.json").write_text("{")
    describe(tmp_path, "60-plain.json")
    assert found(tmp_path) == "60-plain"


def test_without_any_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no OVMF on this host: apt-get install ovmf"):
        find_pflash(tmp_path)
