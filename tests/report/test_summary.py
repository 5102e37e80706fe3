"""``summary.json`` against the structure in docs/reference.md, "summary.json", and against numbers worked out by
hand."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest

from qstress.model import Accel, CommandCount, Outcome, Smm, SmmWriteback
from qstress.report.summary import RunFacts, rounded, summary
from qstress.report.wording import verdict_sentence
from qstress.stats.clusters import widened
from qstress.stats.compare import compare
from qstress.stats.tally import Tally
from tests.stats.samples import (
    CRASH,
    LOST,
    NEW,
    OK,
    OLD,
    REPLAYED,
    RIG,
    UNKNOWN,
    build,
    cells,
    feed,
    feed_runs,
    verdicts,
)

PAIR = ("stock", "fixed")
FACTS = RunFacts(
    run="20250909T101112Z-quick-ab12",
    folder="runs/20250909T101112Z-quick-ab12",
    name="quick",
    started="2025-09-09T10:11:12+00:00",
    finished="2025-09-09T10:14:22+00:00",
    reason="decided",
    exit_code=0,
    host={"cores": 2, "kernel": "6.1.0"},
    lanes=1,
    kvm="pvm",
    nested=True,
)
NUMBER = (int, float)
MAYBE = (int, float, type(None))
CONTRAST = {
    "evalue_log10": NUMBER,
    "fisher_p": NUMBER,
    "decision": {"candidate-better", "candidate-worse", "no-difference-shown", "inconclusive"},
    "candidate_rate_upper": NUMBER,
}
SHARED_CONTRAST = {
    **CONTRAST,
    "fisher_p": type(None),
    "permutation_p": NUMBER,
    "process_runs": {arm: {"found": int, "count": int} for arm in ("baseline", "candidate")},
    "baseline_dispersion": MAYBE,
    "candidate_dispersion": MAYBE,
}
EXPOSURE = {
    "measure": {"D", "commands per bring-up"}, "stratum": str, "baseline": NUMBER, "candidate": NUMBER, "differs": bool,
}  # fmt: skip
HOST = {"kind": {"this"}, "name": str, "kernel": str}
HERE = {"kind": "this", "name": "this", "kernel": "6.1.0"}
LIMITS = {"rate": MAYBE, "lower": MAYBE, "upper": MAYBE}
QUANTILES = {"p50": MAYBE, "p99": MAYBE}
CELL: dict[str, Any] = {
    "build": str,
    "smp": int,
    "machine": str,
    "accel": {"kvm", "tcg"},
    "firmware": str,
    "tier": {"T0", "T1", "T2", "T3", "T4"},
    "kvm": {"vmx", "svm", "pvm", "other", None},
    "nested": {True, False, None},
    "smm": {"real", "pretended", "none"},
    "trials": int,
    "outcomes": {outcome.value: int for outcome in Outcome},
    "hammer": str,
    "lanes": int,
    "host": HOST,
    "classes": {"lost-init": {"count": int, **LIMITS}, "replayed-init": {"count": int, **LIMITS}},
    "hang_rate": {"estimate": MAYBE, "lower": MAYBE, "upper": MAYBE, "confidence": {0.95}},
    "process_runs": {
        "trials": int,
        "count": int,
        "dispersion": MAYBE,
        "hang_shares": NUMBER,
        "class_shares": {"lost-init": NUMBER, "replayed-init": NUMBER},
    },
    "commands": int,
    "commands_per_s": MAYBE,
    "duty_cycle": MAYBE,
    "kicks": [dict, type(None)],
    "boot_s": QUANTILES,
    "first_hang_s": MAYBE,
    "detection_s": [QUANTILES, type(None)],
}
FORMAT: dict[str, Any] = {
    "format": {2},
    "run": str,
    "name": str,
    "started": str,
    "finished": (str, type(None)),
    "reason": {"trials", "duration", "decided", "interrupted", "error"},
    "exit_code": int,
    "host": dict,
    "cells": [CELL],
    "findings": [
        {
            "class": str, "title": str, "count": int,
            "cells": [{"build": str, "smp": int, "host": HOST, "count": int}],
            "signatures": [str], "evidence": [str], "repro": str,
        }
    ],
    "compare": {
        "baseline": str, "candidate": str, "by_class": {"lost-init": CONTRAST, "replayed-init": CONTRAST}, **CONTRAST,
        "sentence": str, "exposures": [EXPOSURE],
    },
}  # fmt: skip


def mismatches(value: object, expected: Any, path: str = "$") -> list[str]:
    """Where *value* differs from *expected*: a type or types, a set of values, a dict with exactly these keys, a list
    of one shape for all items (or, of two, alternatives)."""
    if isinstance(expected, dict):
        if not isinstance(value, dict) or set(value) != set(expected):
            return [f"{path}: {value!r} has not the keys {sorted(expected)}"]
        return [line for key in expected for line in mismatches(value[key], expected[key], f"{path}.{key}")]
    if isinstance(expected, list) and len(expected) == 2:
        found = [mismatches(value, one, path) for one in expected]
        return [] if [] in found else found[0]
    if isinstance(expected, list):
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [line for i, item in enumerate(value) for line in mismatches(item, expected[0], f"{path}[{i}]")]
    fits = value in expected if isinstance(expected, set) else isinstance(value, expected)
    return [] if fits else [f"{path}: {value!r} is not {expected}"]


def recorded(accel: Accel = Accel.KVM, smm: Smm = Smm.PRETENDED) -> Tally:
    """5 of 40 lost-init against 2 of 40 replayed-init, each arm with a trial or two that do not count."""
    fixed = build("fixed", smm=smm, smm_writeback=SmmWriteback.RESET_ONLY)
    tally = Tally(cells(build("stock", smm=smm), fixed, accel=accel), [PAIR])
    hammered = CommandCount("info registers -a", 240, errors=10, hammered_s=0.5, due=260)
    feed(tally, verdicts(5, 40), verdicts(2, 40, REPLAYED), commands=(hammered,), boot_s=0.45, detection_s=3.25)
    feed(tally, [RIG, UNKNOWN], [OK, UNKNOWN])
    return tally


def built(tally: Tally) -> Any:
    return summary(FACTS, tally, [compare(tally, *PAIR, alpha=1e-3)])


def test_every_key_is_there_and_nothing_else() -> None:
    for tally in (recorded(), recorded(Accel.TCG, Smm.NONE), Tally(cells(build("stock"), build("fixed")), [PAIR])):
        content = built(tally)
        assert mismatches(content, FORMAT) == []
        assert json.loads(json.dumps(content, allow_nan=False)) == content


#: Of 4 hangs in 4 process-runs of 4 of one build, and none of the other: 16/9, and three findings that came together.
INDEX = (4 * 16 / 9 + 3 * 4) / 7


def test_process_runs_that_share_trials_are_all_there_too() -> None:
    tally = Tally(cells(build("stock"), build("fixed"), process_trials=4), [PAIR])
    shown = {**FORMAT["compare"], **SHARED_CONTRAST}
    shown["by_class"] = {"lost-init": SHARED_CONTRAST, "replayed-init": SHARED_CONTRAST}
    for _ in range(3):
        content = built(tally)
        assert mismatches(content, {**FORMAT, "compare": shown}) == []
        assert json.loads(json.dumps(content, allow_nan=False)) == content
        feed_runs(tally, [[LOST, LOST, OK, OK], [OK] * 4], [[OK] * 4] * 2)
    stock = content["cells"][0]
    assert stock["process_runs"] == {
        "trials": 4, "count": 4, "dispersion": rounded(INDEX), "hang_shares": 1.0,
        "class_shares": {"lost-init": 1.0, "replayed-init": 0.0},
    }  # fmt: skip
    limits = widened(4, 16, INDEX)
    assert (stock["hang_rate"]["lower"], stock["hang_rate"]["upper"]) == tuple(map(rounded, limits))
    assert stock["classes"]["lost-init"]["upper"] == rounded(limits.upper)
    found = content["compare"]
    assert found["process_runs"] == {"baseline": {"found": 2, "count": 4}, "candidate": {"found": 0, "count": 4}}
    assert (found["permutation_p"], found["baseline_dispersion"]) == (0.25, rounded(INDEX))


def test_the_structural_check_can_fail() -> None:
    content = built(recorded())
    content["cells"][0]["hang_rate"]["lower"] = "0.04"
    content["cells"][1]["extra"] = 1
    content["compare"]["decision"] = "maybe"
    assert [line.partition(":")[0] for line in mismatches(content, FORMAT)] == [
        "$.cells[0].hang_rate.lower", "$.cells[1]", "$.compare.decision",
    ]  # fmt: skip


def test_the_numbers_of_a_cell() -> None:
    stock, fixed = built(recorded())["cells"]
    assert stock["trials"] == 42
    assert {o: k for o, k in stock["outcomes"].items() if k} == {"ok": 35, "hang": 5, "rig": 1, "unknown": 1}
    assert stock["hang_rate"] == {"estimate": 0.125, "lower": 0.0418596, "upper": 0.268033, "confidence": 0.95}
    assert stock["classes"]["lost-init"] == {"count": 5, "rate": 0.125, "lower": 0.0418596, "upper": 0.268033}
    assert stock["classes"]["replayed-init"]["count"] == 0
    assert (stock["commands"], stock["commands_per_s"]) == (40 * 250, 500.0)
    assert stock["boot_s"] == {"p50": 0.45, "p99": 0.45}
    assert stock["detection_s"] == {"p50": 3.25, "p99": 3.25}
    assert stock["first_hang_s"] == 15.0  # the 8th block: trial 14 began at 14 s and took 1 s
    assert fixed["hang_rate"]["estimate"] == rounded(2 / 41)
    assert fixed["outcomes"]["restart"] == 2
    assert (stock["kvm"], stock["nested"], stock["smm"], stock["tier"]) == ("pvm", True, "pretended", "T1")


def test_under_tcg_there_is_no_kind_of_kvm() -> None:
    cell = built(recorded(Accel.TCG, Smm.NONE))["cells"][0]
    assert (cell["accel"], cell["kvm"], cell["nested"], cell["smm"]) == ("tcg", None, None, "none")


def test_a_class_is_shown_once_it_is_seen() -> None:
    tally = recorded()
    feed(tally, [CRASH], [OK])
    content = built(tally)
    assert list(content["cells"][0]["classes"]) == ["lost-init", "replayed-init", "crash"]
    assert list(content["cells"][1]["classes"]) == ["lost-init", "replayed-init"]
    assert list(content["compare"]["by_class"]) == ["lost-init", "replayed-init", "crash"]


def test_no_data_is_null() -> None:
    content = built(Tally(cells(build("stock"), build("fixed")), [PAIR]))
    cell = content["cells"][0]
    assert cell["hang_rate"] == {"estimate": None, "lower": None, "upper": None, "confidence": 0.95}
    assert (cell["commands_per_s"], cell["first_hang_s"], cell["detection_s"]) == (None, None, None)
    assert cell["boot_s"] == {"p50": None, "p99": None}
    assert content["findings"] == []


def test_the_comparison() -> None:
    tally = recorded()
    found = compare(tally, *PAIR, alpha=1e-3)
    content = built(tally)["compare"]
    assert (content["baseline"], content["candidate"]) == PAIR
    assert content["evalue_log10"] == rounded(found.overall.evalue_log10)
    assert content["by_class"]["lost-init"]["fisher_p"] == pytest.approx(0.0252, abs=1e-3)
    assert content["decision"] == "inconclusive"
    assert content["sentence"] == verdict_sentence(found)
    assert [exposure["measure"] for exposure in content["exposures"]] == ["commands per bring-up"]
    assert (content["exposures"][0]["baseline"], content["exposures"][0]["differs"]) == (250.0, False)
    assert summary(FACTS, tally)["compare"] is None
    assert "comparisons" not in summary(FACTS, tally, [found])


def test_several_candidates_are_all_there() -> None:
    tally = Tally(cells(build("stock"), build("one"), build("two")), [("stock", "one"), ("stock", "two")])
    both = [compare(tally, *pair, alpha=1e-3) for pair in tally.pairs]
    content: Any = summary(FACTS, tally, both)
    assert content["compare"]["candidate"] == "one"
    assert [c["candidate"] for c in content["comparisons"]] == ["one", "two"]
    assert content["comparisons"][0] == content["compare"]


def test_findings_name_their_evidence_and_how_to_run_them_again() -> None:
    lost, replayed = built(recorded())["findings"]
    assert lost == {
        "class": "lost-init",
        "title": "an AP never left its reset vector",
        "count": 5,
        "cells": [{"build": "stock", "smp": 4, "host": HERE, "count": 5}],
        "signatures": ["lost-init:1/4"],
        "evidence": [f"evidence/{number}" for number in (14, 30, 46, 62, 78)],
        "repro": "qstress repro runs/20250909T101112Z-quick-ab12/evidence/14",
    }
    assert (replayed["class"], replayed["count"]) == ("replayed-init", 2)


def test_a_repro_line_survives_a_shell_and_missing_evidence() -> None:
    tally = Tally(cells(build("stock")))
    tally.add_finding(LOST, 0, "evidence/3")
    tally.add_finding(CRASH, 0, None)
    odd = RunFacts("r", "my runs/$r", "n", "s", None, "error", 4, {}, 1)
    lost, crash = [f["repro"] for f in summary(odd, tally)["findings"]]  # type: ignore[attr-defined]
    assert shlex.split(lost) == ["qstress", "repro", "my runs/$r/evidence/3"]
    assert crash == ""


def test_six_significant_digits() -> None:
    assert rounded(1 / 3) == 0.333333
    assert rounded(5.2102747e-7) == 5.21027e-07
    assert rounded(None) is None


def test_a_cell_says_that_its_host_is_emulated() -> None:
    host = {"kernel": "6.1.0-57-amd64", "emulated": {"qemu_version": "7.2.22"}}
    content: Any = summary(replace(FACTS, host=host), Tally(cells(build("stock"), build("fixed"))))
    assert content["host"] == host
    assert {cell["host"]["kind"] for cell in content["cells"]} == {"emulated"}


def test_cells_and_bugs_say_which_host_and_how_hosts_differ() -> None:
    tally = Tally(cells(build("stock"), build("fixed")), [("stock", "fixed")])
    feed(tally, [LOST] * 3, [OK] * 3, host=OLD)
    feed(tally, [LOST, OK], [OK] * 2, host=NEW)
    content: Any = summary(FACTS, tally)
    assert [(cell["build"], cell["host"], cell["trials"]) for cell in content["cells"]] == [
        ("stock", {"kind": "worker", "name": "old", "kernel": "6.1.0"}, 3),
        ("fixed", {"kind": "worker", "name": "old", "kernel": "6.1.0"}, 3),
        ("stock", {"kind": "worker", "name": "new", "kernel": "6.12.0"}, 2),
        ("fixed", {"kind": "worker", "name": "new", "kernel": "6.12.0"}, 2),
    ]
    (bug,) = content["findings"]
    assert [(cell["host"]["name"], cell["count"]) for cell in bug["cells"]] == [("old", 3), ("new", 1)]
    assert [(one["host"], one["found"], one["others_found"]) for one in content["hosts"]] == [
        ("old", 3, 1), ("new", 1, 3),
    ]  # fmt: skip
