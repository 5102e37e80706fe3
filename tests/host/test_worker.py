from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qstress.config.kvm import KvmFacts
from qstress.config.settings import Settings
from qstress.host.checks import Check
from qstress.host.doctor import DoctorReport
from qstress.host.worker import HOST_VARIABLE, WorkerFacts, code_sha256, look_at_worker, unfit
from qstress.model import Accel, Smm
from tests.metrics.samples import settings
from tests.samples import build, stratum

KVM = KvmFacts(usable=True, reason="", kind="vmx", smm=True, max_vcpus=8)


def asked(accel: Accel = Accel.KVM, smm: Smm = Smm.REAL, smp: int = 4) -> Settings:
    base, _ = settings([build("only", smm=smm)])
    return replace(base, strata=(stratum(smp, accel),))


def facts(kvm: KvmFacts = KVM) -> WorkerFacts:
    """A worker that can run what ``asked`` asks."""
    mine = look_at_worker()
    only = build("only")
    return replace(mine, binaries={only.binary: only.sha256}, doctor=DoctorReport((Check("python", "ok", "3"),), kvm))


def test_a_worker_like_this_host_can_run_it() -> None:
    assert list(unfit(facts(), asked())) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: replace(w, code="0" * 64), "is not this one: install the same one there"),
        (lambda w: replace(w, python="3.9.1"), "use the same minor version"),
        (lambda w: replace(w, binaries={}), "is missing: put the same file there"),
        (lambda w: replace(w, binaries=dict.fromkeys(w.binaries, "f" * 64)), r"is another one \(sha256 ffffffffffff"),
        (lambda w: replace(w, doctor=DoctorReport((Check("cores", "fail", "none", "buy one"),), KVM)), "none: buy one"),
        (lambda w: replace(w, doctor=DoctorReport((), KvmFacts(False, "absent"))), "cannot be used: absent"),
        (lambda w: replace(w, doctor=DoctorReport((), replace(KVM, max_vcpus=2))), "at most 2 vCPUs"),
        (lambda w: replace(w, doctor=DoctorReport((), replace(KVM, smm=False))), "no SMM, unlike"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy(change: Callable[[WorkerFacts], WorkerFacts], told: str) -> None:
    (problem,) = unfit(change(facts()), asked())
    assert __import__("re").search(told, problem), problem


def test_kvm_does_not_matter_under_tcg_nor_smm_where_it_is_pretended() -> None:
    none = KvmFacts(usable=False, reason="absent")
    assert list(unfit(facts(none), asked(Accel.TCG, Smm.NONE))) == []
    assert list(unfit(facts(replace(KVM, smm=False)), asked(smm=Smm.PRETENDED))) == []


def test_a_host_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "rack-7")
    assert look_at_worker(["/no/such/qemu"]).host == "rack-7"
    assert look_at_worker(["/no/such/qemu"]).binaries == {"/no/such/qemu": ""}


def test_the_code_has_one_digest() -> None:
    assert len(code_sha256()) == 64
