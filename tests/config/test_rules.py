from __future__ import annotations

import pytest

from qstress.config.load import load_config_text
from qstress.config.rules import arms, gated_build
from qstress.errors import ConfigError
from tests.config.samples import ON_HOSTS, config, good

NEW_HOST = ", new: {emulated: {kernel: '6.12', cpus: 1}}"
SECOND = ("  fixed:", "  other: {binary: x}\n  fixed:")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            [("stop: {trials: 100, duration: 30m, decided: true}", "seed: 2")],
            "sample.yaml:1:1: stop: nothing would end this run; add for example  stop: {trials: 400, duration: 10m}",
        ),
        (
            [("{trials: 100, duration: 30m, decided: true}", "{decided: false}")],
            "sample.yaml:11:1: stop: nothing would end this run; add for example  stop: {trials: 400, duration: 10m}",
        ),
        (
            [("fixed: {", "fixed: {hold: {write: 1ms}, ")],
            "sample.yaml:5:3: builds.fixed: must have the same hold as stock, or the comparison says nothing",
        ),
        (
            [("candidate: fixed}", "candidate: fixed, classes: [replayed-init]}")],
            (
                "sample.yaml:13:22: gate.classes: must be those of compare, on which this gate rests; "
                "leave one of them out"
            ),
        ),
        (
            [("stop:", "workers: 2\nfleet: {scheduler: 'tcp://127.0.0.1:8786'}\nstop:")],
            "sample.yaml:11:10: workers: cannot be with fleet: the scheduler's workers are those that there are",
        ),
        ([("trials: 100", "trials: 1")], "sample.yaml:11:16: stop.trials: 1 is fewer than the 2 builds"),
        (
            [
                ("compare: {baseline: stock, candidate: fixed}\n", ""),
                ("gate: {build: fixed, classes: [lost-init], better_than: stock}\n", ""),
            ],
            ("sample.yaml:11:45: stop.decided: needs compare, or gate with max_hang_rate: there is nothing to decide"),
        ),
        (
            [("compare: {baseline: stock, candidate: fixed}\n", ""), ("better_than: stock", "baseline: last-good")],
            ("sample.yaml:11:45: stop.decided: needs compare, or gate with max_hang_rate: there is nothing to decide"),
        ),
        (
            [("compare: {baseline: stock, candidate: fixed}\n", ""), ("better_than: stock", "baseline: stock")],
            (
                "sample.yaml:12:54: gate.baseline: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [("  fixed:", "  last-good: {binary: x}\n  fixed:"), ("better_than: stock", "baseline: last-good")],
            (
                "sample.yaml:14:54: gate.baseline: could be the build last-good or an earlier run; "
                "give that build another name"
            ),
        ),
        (
            [("compare: {baseline: stock, candidate: fixed}\n", "")],
            (
                "sample.yaml:12:57: gate.better_than: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [("  smp:", "  process_trials: 5\n  smp:")],
            (
                "sample.yaml:7:19: guest.process_trials: needs restart: reset; "
                "with restart: process each trial has its own"
            ),
        ),
        (
            [("  smp:", "  restart: reset\n  smp:")],
            "sample.yaml:12:16: stop.trials: 100 is fewer than the 2 builds have in one process-run each: 200",
        ),
        (
            [
                ("  smp:", "  restart: reset\n  process_trials: 5\n  smp:"),
                ("fixed: {", "fixed: {inject: {lost_ap: 0.5}, "),
            ],
            (
                "sample.yaml:5:11: builds.fixed.inject: needs firmware: smpscan, or restart: process: "
                "a reset cannot repeat it"
            ),
        ),
        (
            [("stop:", "observe: none\nstop:"), ("command: info registers -a", "command: info cpus")],
            (
                "sample.yaml:11:10: observe: none: needs a hammer that sends info registers -a, "
                "whose replies are all there is to judge"
            ),
        ),
        (
            [("stop:", "observe: none\nstop:"), ("  smp:", "  firmware: smpscan\n  smp:")],
            (
                "sample.yaml:12:10: observe: none: needs a firmware other than smpscan or ovmf or qboot, no linux, "
                "and restart: process"
            ),
        ),
        (
            [("  smp:", "  firmware: ovmf\n  smp:")],
            "sample.yaml:9:11: guest.memory: is too little for ovmf, which then never begins; 64M is enough",
        ),
        (
            [
                ("  smp:", "  firmware: ovmf\n  smp:"),
                ("memory: 32M", "memory: 64M"),
                ("stop:", "host: emulated\nstop:"),
            ],
            "sample.yaml:12:7: host: cannot be with ovmf yet: the outer QEMU's TCG aborts at its CR8 writes",
        ),
        (
            [("  smp:", "  pflash: {code: a, vars: b}\n  smp:")],
            "sample.yaml:7:3: guest.pflash: needs firmware: ovmf",
        ),
        (
            [("stop:", "observe: none\nstop:"), ("  memory: 32M", "  linux: auto")],
            (
                "sample.yaml:11:10: observe: none: needs a firmware other than smpscan or ovmf or qboot, no linux, "
                "and restart: process"
            ),
        ),
        (
            [("  memory:", "  linux: auto\n  memory:")],
            "sample.yaml:9:11: guest.memory: is too little for a Linux kernel; give it 128M, or leave it out",
        ),
        (
            [("  memory: 32M", "  firmware: smpscan\n  linux: auto")],
            "sample.yaml:9:10: guest.linux: cannot be with firmware smpscan, which boots nothing",
        ),
        (
            [("  memory: 32M", "  firmware: qboot")],
            "sample.yaml:6:1: guest.linux: is missing: firmware qboot does nothing but boot a kernel",
        ),
        (
            [("  memory: 32M", "  linux: {initrd: ./my.img, rounds: 5}")],
            "sample.yaml:8:37: guest.linux.rounds: needs initrd: auto, whose program does that",
        ),
        (
            [
                ("  memory: 32M", "  linux: auto\n  restart: reset"),
                ("  stock: {", "  stock: {inject: {lost_ap: 0.5}, "),
                ("trials: 100", "trials: 200"),
            ],
            (
                "sample.yaml:4:11: builds.stock.inject: needs firmware: smpscan, or restart: process: "
                "a reset cannot repeat it"
            ),
        ),
        (
            [("  smp:", "  storm: 20ms\n  smp:")],
            "sample.yaml:7:10: guest.storm: needs firmware: smpscan and restart: reset",
        ),
        (
            [("  smp:", "  storm: 20ms\n  firmware: smpscan\n  smp:")],
            "sample.yaml:7:10: guest.storm: needs firmware: smpscan and restart: reset",
        ),
        (
            [("  smp:", "  settle: 5ms\n  smp:")],
            "sample.yaml:7:11: guest.settle: needs firmware: smpscan",
        ),
        (
            [("  smp:", "  placement: bsp-alone\n  smp:"), ("stop:", "churn: [none, 5/s]\nstop:")],
            "sample.yaml:12:1: churn: cannot be with placement: bsp-alone, which it would undo",
        ),
        (
            [SECOND, ("candidate: fixed", "candidate: other")],
            (
                "sample.yaml:14:57: gate.better_than: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [SECOND, ("baseline: stock", "baseline: other")],
            (
                "sample.yaml:14:57: gate.better_than: 'stock' has to be compared with; add  "
                "compare: {baseline: stock, candidate: fixed}"
            ),
        ),
        (
            [SECOND, ("candidate: fixed", "candidate: [fixed, other]"), ("build: fixed, ", "")],
            "sample.yaml:14:1: gate.build: is missing; say which build must pass",
        ),
        (
            [
                ("compare: {baseline: stock, candidate: fixed}\n", ""),
                ("build: fixed, classes: [lost-init], better_than: stock", "max_hang_rate: 0.1"),
            ],
            "sample.yaml:12:1: gate.build: is missing; say which build must pass",
        ),
    ],
)
def test_rules_between_sections(changes: list[tuple[str, str]], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(*changes)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "changes",
    [
        [("trials: 100, ", "")],
        [("trials: 100, duration: 30m, ", "")],
        [("trials: 100", "trials: 2")],
        [("build: fixed, ", "")],
        [("  smp:", "  placement: bsp-alone\n  smp:"), ("stop:", "churn: none\nstop:")],
        [("  smp:", "  storm: 20ms\n  firmware: smpscan\n  restart: reset\n  smp:"), ("trials: 100", "trials: 200")],
        [("  smp:", "  settle: 0\n  firmware: smpscan\n  smp:")],
        [("build: fixed, classes: [lost-init], better_than: stock", "build: stock, max_hang_rate: 0.1")],
        [SECOND, ("candidate: fixed", "candidate: [other, fixed]")],
        [("better_than: stock", "baseline: stock, min_trials: 100")],
        [("better_than: stock", "baseline: last-good")],
        [
            ("compare: {baseline: stock, candidate: fixed}\n", ""),
            ("better_than: stock", "max_hang_rate: 0.1, baseline: last-good"),
        ],
    ],
)
def test_what_the_rules_let_pass(changes: list[tuple[str, str]]) -> None:
    config(*changes)


def test_hosts_are_compared_instead_of_builds() -> None:
    sample = config(*ON_HOSTS)
    assert sample.compare is not None
    assert (sample.compare.baseline, sample.compare.candidate) == ("old", ("new",))
    assert [host.emulated.kernel for host in sample.hosts.values()] == ["6.1", "6.12"]
    assert (gated_build(sample), arms(sample), arms(config())) == ("new", ("old", "new"), ("stock", "fixed"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([("candidate: {host: new}", "candidate: {host: nwe}")], "there is no host 'nwe'; did you mean 'new'?"),
        ([("candidate: {host: new}", "candidate: {hst: new}")], "neither the name of a build nor {host: NAME}"),
        (
            [("candidate: {host: new}", "candidate: stock")],
            "compare.candidate: 'stock' is a build; with hosts these are compared: {host: old}",
        ),
        ([("{max_hang_rate: 0.5}", "{build: stock, max_hang_rate: 0.5}")], "gate.build: 'stock' is a build"),
        ([("seed: 1", "host: emulated")], "hosts: cannot be with host, workers or fleet: trials run"),
        ([("seed: 1", "workers: 2")], "hosts: cannot be with host, workers or fleet: trials run"),
        (
            [("  stock: {", "  second: {binary: x}\n  stock: {")],
            "builds: must be one, for hosts are compared, and there are 2; to compare builds write host:",
        ),
        (
            [(NEW_HOST, ""), (", candidate: {host: new}", ", candidate: {host: old}")],
            "compare.candidate: 'old' is also the baseline",
        ),
        (
            [
                (NEW_HOST, ""),
                ("compare: {baseline: {host: old}, candidate: {host: new}}\n", ""), (", decided: true", ""),
            ],
            "hosts: has one host and nothing to compare it with; add a second one, or write host: instead",
        ),
        ([("'emulated:6.1'", "this")], "hosts.old: cannot be this machine: several hosts are emulated ones"),
        ([("trials: 100", "trials: 1")], "stop.trials: 1 is fewer than the 2 builds"),
    ],
)  # fmt: skip
def test_what_hosts_cannot_be_compared_by(changes: list[tuple[str, str]], line: str) -> None:
    text = good(*ON_HOSTS) + "seed: 1\n"
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "sample.yaml")
    assert line in str(caught.value)


def test_a_host_is_named_only_where_there_are_some() -> None:
    with pytest.raises(ConfigError, match=r"compare.candidate: there is no host 'new'; add  hosts: \{new: …\}"):
        config(("candidate: fixed", "candidate: {host: new}"))
