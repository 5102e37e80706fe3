from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qstress.config.settings import (
    LEFT_OUT_OF_DIGEST,
    Compare,
    Gate,
    HostSettings,
    Settings,
    digest,
    resolved_document,
)
from qstress.model import Accel, Build, FindingClass, HammerSpec, LinuxGuest, Milestone, Rate, Shape, Smm, Stratum

BUILD = Build("stock", "/q", "7.2.22", "ab", args=("-x",), env=(("A", "b"),), smm=Smm.PRETENDED)
STRATUM = Stratum(
    Shape(4, "pc", Accel.KVM, 2**25, "seabios"),
    (HammerSpec("info registers -a", "hmp", Rate(0.002, "500/s"), until=Milestone.FOUND),),
)
SETTINGS = Settings(
    name="n",
    builds=(BUILD,),
    strata=(STRATUM,),
    stop_trials=10,
    stop_duration_s=1.5,
    stop_decided=True,
    compare=Compare("stock", ("fixed",), 1e-6, 0.95),
    gate=Gate("fixed", None, (FindingClass.LOST_INIT,), "stock"),
    lanes=1,
    seed=1,
    runs_dir=Path("runs"),
    metrics_listen=("::1", 80),
    metrics_textfile=Path("m.prom"),
    accel_note="KVM",
)


def test_the_resolved_document_is_json() -> None:
    document: Any = json.loads(json.dumps(resolved_document(SETTINGS)))
    assert document == resolved_document(SETTINGS)
    assert set(document) == {field.name for field in dataclasses.fields(Settings)}
    assert document["builds"][0]["smm"] == "pretended"
    assert document["builds"][0]["env"] == [["A", "b"]]
    assert document["strata"][0]["shape"]["accel"] == "kvm"
    assert document["strata"][0]["hammers"][0]["until"] == "found"
    assert document["strata"][0]["hammers"][0]["rate"] == {"interval_s": 0.002, "text": "500/s"}
    assert document["gate"]["classes"] == ["lost-init"]
    assert document["compare"]["candidates"] == ["fixed"]
    assert (document["runs_dir"], document["metrics_listen"]) == ("runs", ["::1", 80])


@pytest.mark.parametrize(
    "change",
    [
        {"runs_dir": Path("elsewhere")},
        {"record_max_bytes": 1 << 30},
        {"metrics_listen": None},
        {"metrics_textfile": None},
        {"accel_note": "other words"},
    ],
)
def test_what_the_digest_leaves_out(change: dict[str, Any]) -> None:
    assert digest(replace(SETTINGS, **change)) == digest(SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "m"},
        {"builds": (replace(BUILD, sha256="cd"),)},
        {"builds": (replace(BUILD, lost_ap_share=0.5),)},
        {"strata": (replace(STRATUM, hammers=()),)},
        {"stop_trials": None},
        {"stop_duration_s": 2.0},
        {"stop_decided": False},
        {"compare": None},
        {"gate": None},
        {"lanes": 2},
        {"seed": 2},
    ],
)
def test_what_the_digest_covers(change: dict[str, Any]) -> None:
    assert digest(replace(SETTINGS, **change)) != digest(SETTINGS)


def test_the_digest_is_a_sha256() -> None:
    assert len(bytes.fromhex(digest(SETTINGS))) == 32


def test_the_question_is_compares_else_the_gates() -> None:
    lost, replayed = (FindingClass.LOST_INIT,), (FindingClass.REPLAYED_INIT,)
    compare, gate = Compare("stock", ("fixed",), 1e-6, 0.95), Gate("fixed", 0.1, lost, None)
    asked = [replace(SETTINGS, compare=one, gate=two).asked_classes for one, two in (
        (compare, None), (compare, gate), (replace(compare, classes=replayed), gate), (None, gate),
    )]  # fmt: skip
    assert asked == [None, lost, replayed, lost]


def test_not_to_ask_about_classes_is_the_experiment_it_always_was() -> None:
    """Runs recorded before compare.classes have no such key."""
    plain = Compare("stock", ("fixed",), 1e-6, 0.95)
    document = json.loads(json.dumps(resolved_document(replace(SETTINGS, compare=plain))))
    assert document["compare"].pop("classes") is None
    assert document.pop("host") is None, "nor had those recorded before there were emulated hosts"
    assert document.pop("hosts") == [], "or several of them"
    for build in document["builds"]:
        assert build.pop("fault") == "never-woken", "nor had those before other faults"
    for stratum in document["strata"]:
        assert stratum["shape"].pop("linux") is None, "nor had those before guests could boot a kernel"
        assert stratum["shape"].pop("pflash") == [], "or from flash"
    kept = {key: value for key, value in document.items() if key not in LEFT_OUT_OF_DIGEST}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    assert digest(replace(SETTINGS, compare=plain)) == hashlib.sha256(text.encode()).hexdigest()
    assert digest(replace(SETTINGS, compare=replace(plain, classes=(FindingClass.CRASH,)))) != digest(
        replace(SETTINGS, compare=plain)
    )


def test_another_kernel_is_another_experiment() -> None:
    (stratum,) = SETTINGS.strata
    kernels = [None, LinuxGuest("/k", "6.1"), LinuxGuest("/k", "6.1", append="cpuhp.parallel=0")]
    strata = [replace(stratum, shape=replace(stratum.shape, linux=linux)) for linux in kernels]
    assert len({digest(replace(SETTINGS, strata=(each,))) for each in strata}) == 3


def test_an_emulated_host_is_another_experiment_and_so_is_another_kernel() -> None:
    host = HostSettings("auto", 2, 3 << 30, "6.1.0-57-amd64", "0" * 64, "7.2.22")
    other = replace(host, release="6.12.117+deb12-amd64", sha256="1" * 64)
    assert len({digest(replace(SETTINGS, host=each)) for each in (None, host, other)}) == 3
    several = [(("old", host), ("new", each)) for each in (host, other)]
    assert len({digest(replace(SETTINGS, hosts=each)) for each in ((), *several)}) == 3
    assert "6.1.0-57-amd64 (sha256 000000000000) run by QEMU 7.2.22" in host.wording
