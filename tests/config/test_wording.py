from __future__ import annotations

import pytest

from qstress.config.load import load_config_text
from qstress.errors import ConfigError
from tests.config.samples import good


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("guest:", "gest:", "sample.yaml:6:1: gest: unknown key; did you mean 'guest'?"),
        (
            "  smp:",
            "  cpus:",
            (
                "sample.yaml:7:3: guest.cpus: unknown key; known here: accel, machine, smp, memory, "
                "firmware, pflash, linux, restart, process_trials, storm, settle, args, placement"
            ),
        ),
        ("rate:", "frm:", "sample.yaml:10:34: hammer[0].frm: unknown key; did you mean 'from'?"),
        ("fixed: {", "fixed: {binry: x, ", "sample.yaml:5:11: builds.fixed.binry: unknown key; did you mean 'binary'?"),
        ("version: 1\n", "version: 1\nrecord: x\n", "sample.yaml:2:9: record: 'x' is not a mapping"),
        (
            "version: 1\n",
            "version: 1\nrecord: {bytes: 1G}\n",
            "sample.yaml:2:10: record.bytes: unknown key; did you mean 'max_bytes'?",
        ),
        (
            "version: 1\n",
            "version: 1\nrecord: {max_bytes: 100}\n",
            "sample.yaml:2:21: record.max_bytes: 100 has no unit; it must be a size such as 512K, 32M or 4G",
        ),
        ("version: 1\n", "version: 1\nchurm: 1/s\n", "sample.yaml:2:1: churm: unknown key; did you mean 'churn'?"),
        ("name: sample\n", "", "sample.yaml:1:1: name: is missing; this key is required"),
        (
            "stock: {binary: qemu-system-x86_64}",
            "stock: {}",
            "sample.yaml:4:3: builds.stock.binary: is missing; this key is required",
        ),
        ("command: info registers -a, ", "", "sample.yaml:10:5: hammer[0].command: is missing; this key is required"),
        ("candidate: fixed", "alpha: 0.1", "sample.yaml:12:1: compare.candidate: is missing; this key is required"),
        (
            "  smp: [2, 4]",
            "  smp:\n    - 2\n    - sixteen",
            "sample.yaml:9:7: guest.smp[1]: 'sixteen' is not a whole number from 1 to 4096",
        ),
        ("[2, 4]", "four", "sample.yaml:7:8: guest.smp: 'four' is not a whole number from 1 to 4096"),
        ("[2, 4]", "", "sample.yaml:7:7: guest.smp: null is not a whole number from 1 to 4096"),
        ("[2, 4]", "{a: 1}", "sample.yaml:7:3: guest.smp: a mapping is not a whole number from 1 to 4096"),
        ("stop: {trials: 100, duration: 30m, decided: true}", "stop: 5", "sample.yaml:11:7: stop: 5 is not a mapping"),
        ("{binary: qemu-system-x86_64}", "[x]", "sample.yaml:4:3: builds.stock: a list is not a mapping"),
        ("stock: {", "stock: {env: 5, ", "sample.yaml:4:16: builds.stock.env: 5 is not a mapping"),
        ("stock: {", "stock: {args: -x, ", "sample.yaml:4:17: builds.stock.args: '-x' is not a list"),
        (
            "stock: {",
            "stock: {env: {1a: x}, ",
            "sample.yaml:4:17: builds.stock.env.1a: '1a' is not a name: letters, digits and _, no digit first",
        ),
        ("  - {", "  {", "sample.yaml:9:1: hammer: a mapping is not a list"),
        (
            "baseline: stock",
            "baseline: stok",
            "sample.yaml:12:21: compare.baseline: there is no build 'stok'; did you mean 'stock'?",
        ),
    ],
)
def test_a_refusal_in_our_words(old: str, new: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_text(good((old, new)), "sample.yaml")
    assert str(caught.value) == line


def test_no_builds_at_all() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_text("version: 1\nname: n\nbuilds: {}\nstop: {trials: 1}\n", "x")
    assert str(caught.value) == "x:3:1: builds: is empty; name at least one"
