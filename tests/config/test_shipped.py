"""Shipped configurations by name: from a checkout and from a package, and never in place of a file of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstress.config import shipped as module
from qstress.config.shipped import find_config, first_sentence, own_copy, shipped
from qstress.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_configuration_is_found_by_its_name_and_says_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {path.name for path in shipped().values()} == {path.name for path in CONFIGS.glob("*.yaml")}
    for name, path in shipped().items():
        assert find_config(Path(name)) == find_config(Path(f"{name}.yaml")) == path
        assert len(first_sentence(path)) > 20


def test_the_package_comes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smp64.yaml").write_text("version: 1\n")
    monkeypatch.setattr(module, "FOLDERS", (tmp_path, CONFIGS))
    assert shipped() == {"smp64": tmp_path / "smp64.yaml"}
    assert first_sentence(tmp_path / "smp64.yaml") == ""


def test_a_file_in_the_working_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smp64.yaml").write_text("version: 1\n")
    assert find_config(Path("smp64.yaml")) == Path("smp64.yaml")
    (tmp_path / "smp64").mkdir()  # such as where runs are kept: no configuration
    assert find_config(Path("smp64")) == CONFIGS / "smp64.yaml"


@pytest.mark.parametrize("given", ["elsewhere/smp64.yaml", "/smp64.yaml", "./nothing/smp64"])
def test_a_path_is_never_a_name(given: str) -> None:
    assert find_config(Path(given)) == Path(given)


def test_a_name_that_is_almost_one_is_refused_with_the_likely_one() -> None:
    with pytest.raises(ConfigError, match=r"smp46\.yaml: there is no such file.*did you mean 'smp64'\?"):
        find_config(Path("smp46.yaml"))


def test_a_copy_names_no_schema_that_lies_elsewhere() -> None:
    for path in shipped().values():
        lines = [line for line in path.read_text().splitlines() if "$schema=" not in line]
        assert own_copy(path).splitlines() == lines
