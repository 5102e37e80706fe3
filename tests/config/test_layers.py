from __future__ import annotations

from pathlib import Path

import pytest

from qstress.config.load import load_config_text
from qstress.errors import ConfigError
from tests.config.samples import GOOD


def refused(environ: dict[str, str], *overrides: str, options: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config_text(GOOD, "f", environ=environ, overrides=overrides, options=options)
    return str(caught.value)


def test_later_layers_win() -> None:
    def seed(environ: dict[str, str], overrides: list[str], options: dict[str, object]) -> int:
        return load_config_text(GOOD + "seed: 2\n", "f", environ=environ, overrides=overrides, options=options).seed

    assert seed({}, [], {}) == 2
    assert seed({"QSTRESS_SEED": "3"}, [], {}) == 3
    assert seed({"QSTRESS_SEED": "3"}, ["seed=4"], {}) == 4
    assert seed({"QSTRESS_SEED": "3"}, ["seed=4", "seed=5"], {}) == 5
    assert seed({"QSTRESS_SEED": "3"}, ["seed=4"], {"seed": 6}) == 6
    assert seed({"QSTRESS_SEED": "3"}, ["seed=4"], {"seed": None}) == 4


@pytest.mark.parametrize(("text", "lanes"), [("3", 3), ("auto", None)])
def test_the_option_for_lanes_is_text(text: str, lanes: int | None) -> None:
    assert load_config_text(GOOD, "f", options={"lanes": text}).lanes == lanes


def test_an_override_can_make_a_wrong_file_right() -> None:
    assert load_config_text(GOOD + "seed: x\n", "f", overrides=["seed=4"]).seed == 4


def test_a_variable_of_ours_that_is_no_configuration_is_left_alone() -> None:
    assert load_config_text(GOOD, "f", environ={"QSTRESS_JOURNALS": "/some/folder"}) == load_config_text(GOOD, "f")


def test_the_environment_nests_and_finds_names_in_any_case() -> None:
    environ = {
        "QSTRESS_STOP__TRIALS": "10",
        "QSTRESS_GUEST__SMP": "[1, 2]",
        "QSTRESS_BUILDS__V7_2__BINARY": "q72",
        "QSTRESS_METRICS__LISTEN": "127.0.0.1:80",
        "PATH": "x",
    }
    config = load_config_text(GOOD.replace("stock", "V7.2"), "f", environ=environ)
    assert (config.stop.trials, config.guest.smp, config.builds["V7.2"].binary) == (10, (1, 2), "q72")
    assert config.metrics.listen == ("127.0.0.1", 80)


def test_the_qemu_under_test_stands_for_its_plain_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = GOOD.replace("fixed: {binary: qemu-system-x86_64", "fixed: {binary: /opt/qemu")

    def binaries(environ: dict[str, str], *overrides: str) -> dict[str, str]:
        config = load_config_text(text, "f", environ=environ, overrides=overrides)
        return {name: build.binary for name, build in config.builds.items()}

    given = {"QEMU_TEST_QEMU_BINARY": "./build/qemu"}
    assert binaries(given) == {"stock": f"{tmp_path}/build/qemu", "fixed": "/opt/qemu"}
    assert binaries({"QEMU_TEST_QEMU_BINARY": "qemu-kvm"})["stock"] == "qemu-kvm"
    assert binaries({"QEMU_TEST_QEMU_BINARY": ""})["stock"] == "qemu-system-x86_64"
    assert binaries({**given, "QSTRESS_BUILDS__STOCK__BINARY": "q72"})["stock"] == "q72"
    assert binaries(given, "builds.stock.binary=qemu-system-x86_64")["stock"] == "qemu-system-x86_64"


@pytest.mark.parametrize("builds", ["3", "{a: 3, b: {}, c: {binary: [qemu-system-x86_64]}}"])
def test_builds_that_are_none_are_refused_as_without_a_qemu_under_test(builds: str) -> None:
    said = []
    for environ in ({}, {"QEMU_TEST_QEMU_BINARY": "/q"}):
        with pytest.raises(ConfigError) as caught:
            load_config_text(f"version: 1\nbuilds: {builds}\n", "f", environ=environ)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_set_reaches_lists_and_quoted_names() -> None:
    overrides = ["hammer.0.rate=max", "hammer[0].command=info registers 1", 'builds."a.b".binary="017"']
    config = load_config_text(GOOD, "f", overrides=[*overrides, "gate=null", "stop.duration=", "name = x"])
    assert (config.hammer[0].command, len(config.hammer[0].rate)) == ("info registers 1", 1)
    assert config.builds["a.b"].binary == "017"
    assert (config.gate, config.stop.duration, config.name) == (None, None, "x")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"QSTRESS_SEDE": "1"}, "environment QSTRESS_SEDE: sede: unknown key; did you mean 'seed'?"),
        (
            {"QSTRESS_": "1"},
            (
                'environment QSTRESS_: "": unknown key; known here: version, name, builds, guest, hammer, host, hosts, '
                "churn, stop, compare, gate, observe, lanes, workers, fleet, seed, runs_dir, record, metrics, fuzz"
            ),
        ),
        (
            {"QSTRESS_STOP__TRIAL": "1"},
            "environment QSTRESS_STOP__TRIAL: stop.trial: unknown key; did you mean 'trials'?",
        ),
        (
            {"QSTRESS_SEED": "x"},
            "environment QSTRESS_SEED: seed: 'x' is not a whole number from 0 to 9223372036854775807",
        ),
        (
            {"QSTRESS_SEED": "017"},
            "environment QSTRESS_SEED: seed: 017 has a leading zero; write 17, or put it in quotes",
        ),
        (
            {"QSTRESS_SEED": "[1"},
            (
                "environment QSTRESS_SEED: seed: not valid YAML: expected ',' or ']', but got "
                "'<stream end>' (while parsing a flow sequence)"
            ),
        ),
        ({"QSTRESS_VERSION__X": "1"}, "environment QSTRESS_VERSION__X: version.x: version is 1, not a mapping"),
        (
            {"QSTRESS_GUEST__SMP__9": "1"},
            ("environment QSTRESS_GUEST__SMP__9: guest.smp.9: guest.smp has 2 entries, counted from 0"),
        ),
        ({"QSTRESS_SEED": "\udcff"}, "environment QSTRESS_SEED: seed: the character U+DCFF is not allowed"),
        (
            {"QSTRESS_" + "A__" * 40: "1"},
            "environment QSTRESS_" + "A__" * 40 + ": a.a.a: nested more than 32 levels deep",
        ),
    ],
)
def test_the_environment_is_refused_by_name(environ: dict[str, str], line: str) -> None:
    assert refused(environ) == line


def test_names_that_a_variable_cannot_tell_apart_are_not_guessed() -> None:
    text = GOOD.replace("  stock:", "  a-b: {binary: x}\n  a_B: {binary: y}\n  stock:")
    with pytest.raises(ConfigError, match=r"environment QSTRESS_BUILDS__A_B__ARGS: builds.a_b.binary: is missing"):
        load_config_text(text, "f", environ={"QSTRESS_BUILDS__A_B__ARGS": "[-x]"})


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("seed", "--set seed: set: is not of the form key.path=value"),
        ("=5", "--set =5: set: is not of the form key.path=value"),
        ("a..b=5", "--set a..b=5: set: is not of the form key.path=value"),
        ("a.=5", "--set a.=5: set: is not of the form key.path=value"),
        ("hammer[x]=5", "--set hammer[x]=5: set: is not of the form key.path=value"),
        ("stop.trials=x", "--set stop.trials=x: stop.trials: 'x' is not a whole number from 1 to 1000000000"),
        ("stop.trails=1", "--set stop.trails=1: stop.trails: unknown key; did you mean 'trials'?"),
        ("hammer[1].rate=max", "--set hammer[1].rate=max: hammer[1].rate: hammer has 1 entries, counted from 0"),
        ("stop[0]=1", "--set stop[0]=1: stop[0]: stop is not a list here; set it as a whole"),
        ("guest.smp=[1, 1]", "--set guest.smp=[1, 1]: guest.smp[1]: 1 is listed twice"),
        (
            "compare.baseline=fixt",
            ("--set compare.baseline=fixt: compare.baseline: there is no build 'fixt'; did you mean 'fixed'?"),
        ),
        ("seed=" + "9" * 100, "--set seed=" + "9" * 74 + "…: seed: a number of more than 40 digits"),
        (
            "gate.classes=&a [*a]",
            ("--set gate.classes=&a [*a]: gate.classes: *a refers to nothing above it, or to what it is part of"),
        ),
    ],
)
def test_set_is_refused_as_written(setting: str, line: str) -> None:
    assert refused({}, setting) == line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"seed": -1}, "--seed: seed: -1 is not a whole number from 0 to 9223372036854775807"),
        ({"stop.trials": "x"}, "--stop.trials: stop.trials: 'x' is not a whole number from 1 to 1000000000"),
        ({"runs_dir": 5}, "--runs-dir: runs_dir: 5 is not text; put it in quotes"),
        ({"seed": object}, "--seed: seed: neither a scalar, a list nor a mapping"),
        ({"seed": 10**50}, "--seed: seed: a number of more than 40 digits"),
        ({"fleet.scheduler": 5}, "--fleet: fleet.scheduler: 5 is not text; put it in quotes"),
        ({"version.x": 1}, "--version.x: version.x: version is 1, not a mapping"),
    ],
)
def test_options_are_refused_by_name(options: dict[str, object], line: str) -> None:
    assert refused({}, options=options) == line


def test_what_a_program_overrides_is_no_option_of_a_command() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config_text(GOOD, "f", options={"stop.trials": 0}, options_called="overrides")
    assert str(raised.value) == "overrides: stop.trials: 0 is not a whole number from 1 to 1000000000"


def test_all_layers_are_refused_at_once_in_order() -> None:
    lines = refused({"QSTRESS_LANES": "x"}, "seed=x", "nothing", options={"stop.trials": 0}).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "environment QSTRESS_LANES",
        "--set seed=x",
        "--set nothing",
        "--stop.trials",
    ]
