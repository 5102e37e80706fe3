from __future__ import annotations

import inspect
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from qstress.config import schema
from qstress.config.schema import SECTIONS, Config, Section, schema_json
from qstress.model import Milestone, Rate
from tests.packaging.test_workflow import check_jsonschema

ROOT = Path(__file__).parents[2]
MINIMAL = {"version": 1, "name": "n", "builds": {"a": {"binary": "qemu"}}}


def refused(**changes: object) -> list[tuple[tuple[int | str, ...], str]]:
    """Where and in which words pydantic refuses the minimal configuration with *changes*."""
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({**MINIMAL, **changes}, context={"builds": ["a", "b"]})
    return [
        ((*details["loc"], *details.get("ctx", {}).get("at", ())), details["msg"])
        for details in caught.value.errors(include_url=False)
    ]


def test_every_default() -> None:
    config = Config.model_validate(MINIMAL)
    build, guest, (hammer,) = config.builds["a"], config.guest, config.hammer
    assert (build.args, build.env, build.kvm_smm, build.smm_writeback, build.inject) == ((), {}, "real", "as-is", None)
    assert (guest.accel, guest.machine, guest.smp, guest.memory) == ("auto", ("pc",), (4,), 2**25)
    assert (guest.firmware, guest.restart, guest.args, guest.placement) == ("seabios", "process", (), "none")
    assert (hammer.command, hammer.via, hammer.rate) == ("info registers -a", "hmp", (Rate(None, "max"),))
    assert (hammer.start, hammer.until, hammer.arguments) == (Milestone.START, Milestone.BOOT, "{}")
    assert (config.stop.trials, config.stop.duration, config.stop.decided) == (None, None, False)
    assert (config.compare, config.gate, config.lanes, config.seed, config.runs_dir) == (None, None, None, 1, "runs")
    assert (config.metrics.listen, config.metrics.textfile) == (None, None)
    assert (config.churn, guest.storm, hammer.mix) == ((None,), None, None)


def test_the_defaults_of_compare_gate_and_inject() -> None:
    config = Config.model_validate({
        **MINIMAL,
        "builds": {"a": {"binary": "q", "inject": {"lost_ap": 0.5}}},
        "compare": {"baseline": "a", "candidate": "b"},
        "gate": {"max_hang_rate": 0.01},
    })  # fmt: skip
    assert config.compare is not None
    assert (config.compare.candidate, config.compare.alpha, config.compare.confidence) == (("b",), 1e-6, 0.95)
    assert config.gate is not None
    assert (config.gate.build, config.gate.classes, config.gate.better_than) == (None, None, None)
    assert (config.gate.baseline, config.gate.min_trials) == (None, None)
    inject = config.builds["a"].inject
    assert inject is not None
    assert inject.accel == "any"


def test_no_hammer_is_not_the_default_hammer() -> None:
    assert Config.model_validate({**MINIMAL, "hammer": []}).hammer == ()


def test_a_qmp_hammer_with_phases() -> None:
    entry = {"command": "query-stats", "via": "qmp", "arguments": {"target": "vcpu"}, "from": "pci", "until": "found"}
    (hammer,) = Config.model_validate({**MINIMAL, "hammer": [entry]}).hammer
    assert (hammer.start, hammer.until, hammer.arguments) == (Milestone.PCI, Milestone.FOUND, '{"target":"vcpu"}')


def test_a_kick_and_a_mix() -> None:
    entries = [
        {"command": "dirty-log", "via": "kick", "rate": "2/s"},
        {"mix": {"info registers K": 4, "info lapic": 1}},
    ]
    kick, mix = Config.model_validate({**MINIMAL, "hammer": entries}).hammer
    assert (kick.command, kick.via, kick.mix) == ("dirty-log", "kick", None)
    assert (mix.command, mix.via, mix.mix) == (None, "hmp", (("info registers K", 4), ("info lapic", 1)))


def test_it_is_frozen_and_pickles() -> None:
    config = Config.model_validate(MINIMAL)
    with pytest.raises(ValidationError):
        config.seed = 2
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("changes", "loc", "words"),
    [
        ({"version": 2}, ("version",), "2 is not one of: 1"),
        ({"name": "a b"}, ("name",), "'a b' is not a name"),
        ({"name": "../x"}, ("name",), "'../x' is not a name"),
        ({"name": "x" * 65}, ("name",), "is not a name"),
        ({"builds": {"a/b": {"binary": "q"}}}, ("builds", "a/b", "[key]"), "'a/b' is not a name"),
        ({"builds": {"a": {"binary": ""}}}, ("builds", "a", "binary"), "is blank"),
        (
            {"builds": {"a": {"binary": "q", "args": [4]}}},
            ("builds", "a", "args", 0),
            "4 is not text; put it in quotes",
        ),
        (
            {"builds": {"a": {"binary": "q", "env": {"A=B": "x"}}}},
            ("builds", "a", "env", "A=B", "[key]"),
            "'A=B' is not",
        ),
        ({"builds": {"a": {"binary": "q", "env": {"A": 1}}}}, ("builds", "a", "env", "A"), "1 is not text"),
        ({"builds": {"a": {"binary": "q", "kvm_smm": "on"}}}, ("builds", "a", "kvm_smm"), "'on' is not one of: real,"),
        ({"builds": {"a": {"binary": "q", "smm_writeback": "x"}}}, ("builds", "a", "smm_writeback"), "'x' is not one"),
        (
            {"builds": {"a": {"binary": "q", "inject": {"lost_ap": 2}}}},
            ("builds", "a", "inject", "lost_ap"),
            "2 is not",
        ),
        (
            {"builds": {"a": {"binary": "q", "inject": {"lost_ap": 1, "accel": "kvm"}}}},
            ("builds", "a", "inject", "accel"),
            "'kvm' is not one of: any, tcg",
        ),
        ({"guest": {"accel": "hvf"}}, ("guest", "accel"), "'hvf' is not one of: auto, kvm, tcg"),
        ({"guest": {"machine": "p c"}}, ("guest", "machine", 0), "'p c' is not a name"),
        ({"guest": {"machine": []}}, ("guest", "machine"), "is empty"),
        ({"guest": {"smp": 0}}, ("guest", "smp", 0), "0 is not a whole number from 1 to 4096"),
        ({"guest": {"smp": [1, 4097]}}, ("guest", "smp", 1), "4097 is not a whole number from 1 to 4096"),
        ({"guest": {"smp": []}}, ("guest", "smp"), "is empty; name at least one"),
        ({"guest": {"smp": [2, 2]}}, ("guest", "smp", 1), "2 is listed twice"),
        ({"guest": {"memory": 32}}, ("guest", "memory"), "32 has no unit"),
        ({"guest": {"restart": "reboot"}}, ("guest", "restart"), "'reboot' is not one of: process, reset"),
        ({"guest": {"placement": "all"}}, ("guest", "placement"), "'all' is not one of: none, bsp-alone"),
        ({"hammer": [{"command": "a\nb"}]}, ("hammer", 0, "command"), "has more than one line"),
        ({"hammer": [{"command": "x", "via": "vnc"}]}, ("hammer", 0, "via"), "'vnc' is not one of: hmp, qmp"),
        ({"hammer": [{"command": "x", "rate": []}]}, ("hammer", 0, "rate"), "is empty"),
        ({"hammer": [{"command": "x", "rate": ["max", "max"]}]}, ("hammer", 0, "rate", 1), "'max' is listed twice"),
        ({"hammer": [{"command": "x", "from": "now"}]}, ("hammer", 0, "from"), "'now' is not a phase"),
        (
            {"hammer": [{"command": "x", "from": "found", "until": "found"}]},
            ("hammer", 0, "until"),
            "found is not before",
        ),
        ({"hammer": [{"command": "x", "from": "boot"}]}, ("hammer", 0, "from"), "boot is not before boot"),
        ({"hammer": [{"command": "x", "arguments": {}}]}, ("hammer", 0, "arguments"), "only a QMP command takes arg"),
        ({"hammer": [{"command": "x", "via": "qmp", "arguments": []}]}, ("hammer", 0, "arguments"), "an empty list is"),
        ({"hammer": [{"command": "x", "mix": {"y": 1}}]}, ("hammer", 0, "mix"), "stands instead of command"),
        ({"hammer": [{"mix": {"y": 1}, "via": "qmp"}]}, ("hammer", 0, "mix"), "stands instead of command"),
        ({"hammer": [{"mix": {"y": 0}}]}, ("hammer", 0, "mix", "y"), "0 is not a whole number from 1 to 1000"),
        ({"hammer": [{"command": "dirty", "via": "kick"}]}, ("hammer", 0, "command"), "'dirty' is not one of: stop-"),
        (
            {"hammer": [{"command": "stop-cont", "via": "kick", "arguments": {}}]},
            ("hammer", 0, "arguments"),
            "only a QMP command takes arg",
        ),
        ({"churn": "fast"}, ("churn", 0), "'fast' is not churn: none, 1000/s, or 200 at pci"),
        ({"churn": ["none", "none"]}, ("churn", 1), "'none' is listed twice"),
        ({"guest": {"storm": "1s"}}, ("guest", "storm"), "'1s' is longer than 200ms"),
        ({"hammer": [{"command": "x y", "via": "qmp"}]}, ("hammer", 0, "command"), "'x y' is not the name of a QMP"),
        ({"stop": {"trials": 0}}, ("stop", "trials"), "0 is not a whole number from 1"),
        ({"stop": {"duration": "1"}}, ("stop", "duration"), "'1' has no unit"),
        ({"stop": {"decided": "yes"}}, ("stop", "decided"), "'yes' is neither true nor false"),
        (
            {"compare": {"baseline": "c", "candidate": "b"}},
            ("compare", "baseline"),
            "there is no build 'c'; there are: a",
        ),
        ({"compare": {"baseline": "a", "candidate": ["b", "c"]}}, ("compare", "candidate", 1), "there is no build 'c'"),
        ({"compare": {"baseline": "a", "candidate": []}}, ("compare", "candidate"), "is empty"),
        (
            {"compare": {"baseline": "a", "candidate": ["b", "a"]}},
            ("compare", "candidate", 1),
            "'a' is also the baseline",
        ),
        (
            {"compare": {"baseline": "a", "candidate": "b", "alpha": 0}},
            ("compare", "alpha"),
            "0 is not a number above 0",
        ),
        (
            {"compare": {"baseline": "a", "candidate": "b", "confidence": 1}},
            ("compare", "confidence"),
            "1 is not a number",
        ),
        ({"gate": {}}, ("gate",), "checks nothing"),
        ({"gate": {"build": "c", "max_hang_rate": 1}}, ("gate", "build"), "there is no build 'c'"),
        ({"gate": {"better_than": "c"}}, ("gate", "better_than"), "there is no build 'c'"),
        ({"gate": {"build": "a", "better_than": "a"}}, ("gate", "better_than"), "'a' cannot be better than itself"),
        ({"gate": {"baseline": "last-bad"}}, ("gate", "baseline"), "there is no build 'last-bad'"),
        ({"gate": {"build": "a", "baseline": "a"}}, ("gate", "baseline"), "'a' cannot be its own baseline"),
        ({"gate": {"max_hang_rate": 1, "min_trials": 0}}, ("gate", "min_trials"), "0 is not a whole number from 1"),
        ({"gate": {"max_hang_rate": 1.5}}, ("gate", "max_hang_rate"), "1.5 is not a number from 0 to 1"),
        ({"gate": {"max_hang_rate": 1, "classes": ["x"]}}, ("gate", "classes", 0), "'x' is neither all nor one of"),
        ({"lanes": 0}, ("lanes",), "0 is neither auto nor"),
        ({"seed": -1}, ("seed",), "-1 is not a whole number from 0"),
        ({"seed": 2**63}, ("seed",), "9223372036854775808 is not a whole number"),
        ({"runs_dir": " "}, ("runs_dir",), "is blank"),
        ({"metrics": {"listen": 9797}}, ("metrics", "listen"), "9797 is not text"),
        ({"metrics": {"textfile": ""}}, ("metrics", "textfile"), "is blank"),
    ],
)
def test_every_rule_refuses(changes: dict[str, Any], loc: tuple[int | str, ...], words: str) -> None:
    ((found, message),) = refused(**changes)
    assert found == loc
    assert words in message


def test_a_build_is_guessed_from_its_misspelt_name() -> None:
    with pytest.raises(ValidationError, match=r"there is no build 'stok'; did you mean 'stock'\?"):
        Config.model_validate(
            {**MINIMAL, "compare": {"baseline": "stok", "candidate": "fixed"}}, context={"builds": ["stock", "fixed"]}
        )


def test_sections_has_every_model() -> None:
    models = {model for _, model in inspect.getmembers(schema, inspect.isclass) if issubclass(model, Section)}
    assert set(SECTIONS.values()) == models - {Section}


def test_the_committed_json_schema_is_current() -> None:
    committed = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    assert committed == schema_json(), "run: qstress config schema > docs/config.schema.json"


def test_the_json_schema_shows_what_users_write() -> None:
    definitions = schema_json()["$defs"]
    duration = definitions["StopEntry"]["properties"]["duration"]["anyOf"][0]
    assert duration["type"] == "string"
    assert re.search(duration["pattern"], "30s")
    assert not re.search(duration["pattern"], "30")
    assert definitions["GuestEntry"]["properties"]["memory"]["default"] == "32M"
    assert "from" in definitions["HammerEntry"]["properties"]
    assert schema_json()["required"] == ["version", "name", "builds"]
    assert schema_json()["additionalProperties"] is False


def test_every_key_but_names_is_described_in_the_json_schema() -> None:
    document = schema_json()
    sections = {"": document, **document["$defs"]}
    missing = [
        f"{section}.{key}"
        for section, body in sections.items()
        for key, value in body["properties"].items()
        if "description" not in value
    ]
    assert missing == []


def test_editors_find_the_schema_in_each_shipped_file_and_it_fits() -> None:
    paths = sorted((ROOT / "configs").glob("*.yaml"))
    for path in paths:
        (named,) = re.findall(r"^# yaml-language-server: \$schema=(.+)$", path.read_text(), re.MULTILINE)
        assert (path.parent / named).resolve() == ROOT / "docs" / "config.schema.json", path.name
    check_jsonschema("--schemafile", ROOT / "docs" / "config.schema.json", *paths)
    check_jsonschema("--check-metaschema", ROOT / "docs" / "config.schema.json")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_readers_of_yaml_1_1_see_the_same_numbers(path: Path) -> None:
    alpha = yaml.safe_load(path.read_text()).get("compare", {}).get("alpha", 1e-6)
    assert isinstance(alpha, float)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_patterns_of_the_json_schema_fit_the_shipped_files(path: Path) -> None:
    document, file = schema_json(), yaml.safe_load(path.read_text())
    assert set(file) <= set(document["properties"])
    assert re.search(document["$defs"]["GuestEntry"]["properties"]["memory"]["pattern"], file["guest"]["memory"])
    written = file["hammer"][0]["rate"]
    for rate in written if isinstance(written, list) else [written]:
        assert re.search(document["$defs"]["HammerEntry"]["properties"]["rate"]["anyOf"][0]["pattern"], rate)


@pytest.mark.parametrize(
    ("written", "kernel"),
    [
        ("emulated", "auto"),
        ("emulated:6.12", "6.12"),
        ({"emulated": {"kernel": "/k/vmlinuz", "cpus": 4}}, "/k/vmlinuz"),
    ],
)
def test_an_emulated_host(written: object, kernel: str) -> None:
    host = Config.model_validate({**MINIMAL, "host": written}).host
    assert host is not None
    assert host.emulated.kernel == kernel
    assert host.emulated.memory == 3 << 30


def test_this_machine_is_no_emulated_host_and_nothing_else_is_one() -> None:
    assert Config.model_validate({**MINIMAL, "host": "this"}).host is None
    ((loc, words),) = refused(host="moon")
    assert loc == ("host",)
    assert "none of: this, emulated" in words
