from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from qstress.config import binary
from qstress.config.kvm import KvmFacts
from qstress.config.load import load_config
from qstress.config.resolve import MAX_CELLS, resolve
from qstress.config.settings import Compare, Gate, HostSettings, Settings, digest, resolved_document
from qstress.errors import ConfigError, RigError
from qstress.firmware import kernels
from qstress.model import Accel, ChurnSpec, FindingClass, LinuxGuest, Milestone, Smm, SmmWriteback
from tests.config.samples import ON_HOSTS, config

CONFIGS = Path(__file__).parents[2] / "configs"
#: They name binaries that their user builds.
OWN_BUILDS = {CONFIGS / name for name in ("patched-or-not.yaml", "four-arms.yaml")}
KVM = KvmFacts(
    usable=True,
    reason="",
    smm=True,
    smm_cap=True,
    irqchip=True,
    kind="vmx",
    nested=False,
    max_vcpus=1024,
    clears_latched_init=True,
)
HAMMERS = "hammer:\n  - {command: info registers -a, rate: [max, 500/s]}"
NO_SMM = dataclasses.replace(KVM, smm=False)
NO_KVM = dataclasses.replace(KVM, usable=False, reason="/dev/kvm: Permission denied", smm=False, max_vcpus=0)
BUILD = "fixed: {binary: qemu-system-x86_64, smm_writeback: reset-only}"
INJECT = ("stock: {binary: qemu-system-x86_64}", "stock: {binary: qemu-system-x86_64, inject: {lost_ap: 0.25}}")
TCG_INJECT = (INJECT[0], "stock: {binary: qemu-system-x86_64, inject: {lost_ap: 0.25, accel: tcg}}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with a QEMU that counts its calls; it stands for the configuration's folder, too."""
    path = tmp_path / "qemu-system-x86_64"
    path.write_text(f"#!/bin/sh\necho x >> {tmp_path}/calls\necho QEMU emulator version 7.2.22\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def resolved(folder: Path, *changes: tuple[str, str], kvm: KvmFacts = KVM, cores: int = 4) -> Settings:
    return resolve(config(*changes), kvm=kvm, cores=cores, base=folder)


def test_everything_settled(folder: Path) -> None:
    settings = resolved(folder)
    stock, fixed = settings.builds
    path = folder / "qemu-system-x86_64"
    assert (stock.name, stock.binary, stock.version) == ("stock", str(path), "7.2.22")
    assert stock.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (stock.smm_writeback, fixed.smm_writeback) == (SmmWriteback.AS_IS, SmmWriteback.RESET_ONLY)
    assert (settings.name, settings.seed, settings.lanes) == ("sample", 1, 2)
    assert (settings.stop_trials, settings.stop_duration_s, settings.stop_decided) == (100, 1800.0, True)
    assert settings.compare == Compare("stock", ("fixed",), 1e-6, 0.95)
    assert settings.gate == Gate("fixed", None, (FindingClass.LOST_INIT,), "stock")
    assert (settings.runs_dir, settings.metrics_listen, settings.metrics_textfile) == (Path("runs"), None, None)
    assert settings.record_max_bytes is None
    assert resolved_document(settings)["lanes"] == 2
    assert digest(settings) == digest(resolved(folder))


def test_args_and_env_go_to_their_build(folder: Path) -> None:
    changed = BUILD.replace("{binary", "{args: [-x], env: {B: '1', A: ''}, binary")
    fixed = resolved(folder, (BUILD, changed)).builds[1]
    assert (fixed.args, fixed.env) == (("-x",), (("B", "1"), ("A", "")))


def test_strata_are_the_product_of_the_axes(folder: Path) -> None:
    hammers = "  - {command: info registers -a, rate: [max, 500/s]}\n"
    second = "  - {command: query-cpus-fast, via: qmp, rate: [1/s, 2/s], from: pci, until: found, arguments: {a: 1}}\n"
    strata = resolved(
        folder, (hammers, hammers + second), ("  smp:", "  machine: [pc, q35]\n  args: [-x]\n  smp:")
    ).strata
    assert len(strata) == len(set(strata)) == 2 * 2 * 2 * 2
    assert [(s.shape.machine, s.shape.smp) for s in strata[::4]] == [("pc", 2), ("pc", 4), ("q35", 2), ("q35", 4)]
    assert [tuple(h.rate.text for h in s.hammers) for s in strata[:4]] == [
        ("max", "1/s"), ("max", "2/s"), ("500/s", "1/s"), ("500/s", "2/s"),
    ]  # fmt: skip
    shape, (_, query) = strata[0].shape, strata[0].hammers
    assert (shape.accel, shape.memory_bytes, shape.firmware, shape.args) == (Accel.KVM, 2**25, "seabios", ("-x",))
    assert (query.via, query.arguments, query.start, query.until) == ("qmp", '{"a":1}', Milestone.PCI, Milestone.FOUND)


def test_churn_is_an_axis_and_a_mix_has_a_label(folder: Path) -> None:
    mix = "  - {mix: {info registers K: 4, info lapic: 1}, rate: max}"
    hammer = "  - {command: info registers -a, rate: [max, 500/s]}"
    strata = resolved(folder, ("stop:", "churn: [none, 1000/s]\nstop:"), ("[2, 4]", "4"), (hammer, mix)).strata
    assert [stratum.churn for stratum in strata] == [None, ChurnSpec("1000/s", rate_hz=1000.0)]
    assert [stratum.hammer_label for stratum in strata] == [
        "4x info registers K | 1x info lapic @ max",
        "4x info registers K | 1x info lapic @ max + churn 1000/s",
    ]
    assert strata[0].hammers[0].mix == (("info registers K", 4), ("info lapic", 1))


def test_with_one_core_churn_is_said_to_be_impossible(folder: Path) -> None:
    churn = ("stop:", "churn: 1000/s\nstop:")
    assert resolved(folder, churn, cores=1).accel_note.endswith("; churn cannot happen: there is one core")
    assert "churn" not in resolved(folder, churn, cores=2).accel_note


def test_no_hammer_is_one_stratum_a_shape(folder: Path) -> None:
    strata = resolved(folder, (HAMMERS, "hammer: []")).strata
    assert [stratum.hammer_label for stratum in strata] == ["none", "none"]


def test_too_many_cells_are_refused(folder: Path) -> None:
    numbers = ", ".join(str(n) for n in range(1, MAX_CELLS // 4 + 2))
    assert len(resolved(folder, ("[2, 4]", f"[{numbers.rpartition(', ')[0]}]")).strata) == MAX_CELLS // 2
    with pytest.raises(ConfigError) as caught:
        resolved(folder, ("[2, 4]", f"[{numbers}]"))
    assert "4100 cells (builds x machine x smp x rates x churn) are more than 4096" in str(caught.value)


@pytest.mark.parametrize(("cores", "lanes"), [(1, 1), (2, 1), (3, 1), (16, 8)])
def test_lanes(folder: Path, cores: int, lanes: int) -> None:
    assert resolved(folder, cores=cores).lanes == lanes
    assert resolved(folder, ("stop:", "lanes: 3\nstop:"), cores=cores).lanes == 3


@pytest.mark.parametrize(
    ("asked", "kvm", "accel", "note"),
    [
        ("auto", KVM, Accel.KVM, "KVM"),
        ("kvm", KVM, Accel.KVM, "KVM"),
        ("tcg", KVM, Accel.TCG, "TCG, as configured; the race itself cannot occur under TCG"),
        ("auto", NO_KVM, Accel.TCG, ("TCG, because KVM cannot be used: /dev/kvm: Permission denied; "
                                    "the race itself cannot occur under TCG")),
    ],
)  # fmt: skip
def test_the_accelerator(folder: Path, asked: str, kvm: KvmFacts, accel: Accel, note: str) -> None:
    settings = resolved(folder, ("guest:", f"guest:\n  accel: {asked}"), kvm=kvm)
    assert ({stratum.shape.accel for stratum in settings.strata}, settings.accel_note) == ({accel}, note)


def test_kvm_asked_for_where_there_is_none(folder: Path) -> None:
    with pytest.raises(RigError, match="/dev/kvm: Permission denied") as caught:
        resolved(folder, ("guest:", "guest:\n  accel: kvm"), kvm=NO_KVM)
    assert caught.value.reason == "no-kvm"


def test_more_vcpus_than_this_kvm_runs(folder: Path) -> None:
    three = dataclasses.replace(KVM, max_vcpus=3)
    with pytest.raises(RigError, match="guest.smp has 4, but this host's KVM runs at most 3") as caught:
        resolved(folder, kvm=three)
    assert caught.value.reason == "no-kvm"
    resolved(folder, ("guest:", "guest:\n  accel: tcg"), kvm=three)


@pytest.mark.parametrize(
    ("word", "kvm", "smm"),
    [
        ("real", KVM, Smm.REAL), ("real", NO_SMM, Smm.NONE),
        ("auto", KVM, Smm.REAL), ("auto", NO_SMM, Smm.PRETENDED),
        ("pretend", KVM, Smm.PRETENDED), ("pretend", NO_SMM, Smm.PRETENDED),
        ("real", NO_KVM, Smm.NONE), ("auto", NO_KVM, Smm.NONE), ("pretend", NO_KVM, Smm.NONE),
    ],
)  # fmt: skip
def test_smm(folder: Path, word: str, kvm: KvmFacts, smm: Smm) -> None:
    fixed = resolved(folder, (BUILD, BUILD.replace("{", f"{{kvm_smm: {word}, ")), kvm=kvm).builds[1]
    assert fixed.smm is smm
    assert fixed.smm_writeback is (SmmWriteback.RESET_ONLY if kvm.usable else SmmWriteback.AS_IS)


@pytest.mark.parametrize(
    ("inject", "kvm", "share"),
    [(INJECT, KVM, 0.25), (INJECT, NO_KVM, 0.25), (TCG_INJECT, KVM, 0.0), (TCG_INJECT, NO_KVM, 0.25)],
)
def test_an_injected_fault(folder: Path, inject: tuple[str, str], kvm: KvmFacts, share: float) -> None:
    settings = resolved(folder, inject, kvm=kvm)
    assert [build.lost_ap_share for build in settings.builds] == [share, 0.0]
    assert settings.accel_note.endswith("; lost APs are injected into: stock") == bool(share)


@pytest.mark.parametrize("smp", [1, 255])
def test_an_injected_fault_needs_aps_and_room(folder: Path, smp: int) -> None:
    change = ("smp: [2, 4]", f"smp: [2, {smp}]")
    with pytest.raises(ConfigError) as caught:
        resolved(folder, TCG_INJECT, change, kvm=NO_KVM)
    assert str(caught.value) == (
        "sample.yaml:4:39: builds.stock.inject: a lost AP can be injected at smp 2 to 254 only, and guest.smp has "
        f"{smp}"
    )
    resolved(folder, TCG_INJECT, change, kvm=KVM)  # nothing is injected there


@pytest.mark.parametrize("smp", [2, 254])
def test_the_bounds_of_an_injected_fault(folder: Path, smp: int) -> None:
    assert resolved(folder, TCG_INJECT, ("[2, 4]", str(smp)), kvm=NO_KVM).builds[0].lost_ap_share == 0.25


def test_smpscan_leaves_out_one_of_as_many_as_there_may_be(folder: Path) -> None:
    smpscan = ("  smp: [2, 4]", "  firmware: smpscan\n  smp: [2, 255]")
    assert resolved(folder, TCG_INJECT, smpscan, kvm=NO_KVM).builds[0].lost_ap_share == 0.25
    with pytest.raises(ConfigError, match="at smp 2 to 4096 only, and guest.smp has 1"):
        resolved(folder, TCG_INJECT, (smpscan[0], smpscan[1].replace("[2, 255]", "1")), kvm=NO_KVM)


@pytest.mark.parametrize(
    ("more", "hammer", "kvm", "settle_s"),
    [
        ("firmware: smpscan", HAMMERS, KVM, 0.005),
        ("firmware: smpscan\n  restart: reset", HAMMERS, KVM, 0.005),
        ("firmware: smpscan\n  settle: 0", HAMMERS, KVM, 0.0),
        ("firmware: smpscan\n  settle: 20ms", "hammer: []", NO_KVM, 0.02),
        ("firmware: smpscan", "hammer: []", KVM, 0.0),
        ("firmware: smpscan", HAMMERS, NO_KVM, 0.0),
        ("firmware: seabios", HAMMERS, KVM, 0.0),
    ],
)
def test_smpscan_settles_where_a_hammer_can_race(
    folder: Path, more: str, hammer: str, kvm: KvmFacts, settle_s: float
) -> None:
    changes = ("  smp: [2, 4]", f"  {more}\n  smp: [2, 4]"), (HAMMERS, hammer), ("trials: 100", "trials: 200")
    settings = resolved(folder, *changes, kvm=kvm)
    assert {stratum.shape.settle_s for stratum in settings.strata} == {settle_s}


def test_a_share_of_zero_injects_nothing(folder: Path) -> None:
    settings = resolved(folder, (INJECT[0], INJECT[1].replace("0.25", "0")), ("[2, 4]", "1"))
    assert settings.builds[0].lost_ap_share == 0.0


def test_a_binary_that_builds_share_is_asked_once(folder: Path) -> None:
    resolved(folder, ("  fixed:", "  third: {binary: ./qemu-system-x86_64}\n  fixed:"))
    assert (folder / "calls").read_text() == "x\n"


def test_a_build_with_its_own_environment_is_asked_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def sha256_of(path: Path) -> str:
        hashed.append(path)
        return "ab"

    monkeypatch.setattr(binary, "sha256_of", sha256_of)
    resolved(folder, (BUILD, BUILD.replace("{", "{env: {A: b}, ")))
    assert (folder / "calls").read_text() == "x\nx\n"
    assert hashed == [folder / "qemu-system-x86_64"]


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("no-such-qemu", "qemu-missing", "builds.fixed.binary: there is no executable 'no-such-qemu' on PATH"),
        ("/bin/true", "not-qemu", "builds.fixed.binary: /bin/true is not a QEMU system emulator"),
    ],
)
def test_a_bad_binary_is_the_rigs_fault(folder: Path, name: str, reason: str, words: str) -> None:
    with pytest.raises(RigError, match=words) as caught:
        resolved(folder, (BUILD, f"fixed: {{binary: {name}}}"))
    assert caught.value.reason == reason


OVMF = ("guest:", "guest:\n  firmware: ovmf")
NO_MEMORY = ("  memory: 32M\n", "")


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What the host has of OVMF."""
    monkeypatch.setattr("qstress.config.resolve.find_pflash", lambda: ("/host/CODE.fd", "/host/VARS.fd"))
    return "/host/CODE.fd", "/host/VARS.fd"


def test_ovmf_is_the_hosts_own_pair_and_has_the_memory_it_needs(folder: Path, pair: tuple[str, str]) -> None:
    shapes = {stratum.shape.smp: stratum.shape for stratum in resolved(folder, OVMF, NO_MEMORY).strata}
    assert (shapes[2].firmware, shapes[2].pflash, shapes[2].memory_bytes) == ("ovmf", pair, 64 << 20)
    more = resolved(folder, OVMF, ("memory: 32M", "memory: 128M")).strata[0].shape
    assert more.memory_bytes == 128 << 20
    usual = resolved(folder, NO_MEMORY).strata[0].shape
    assert (usual.memory_bytes, usual.pflash) == (32 << 20, ())


def test_another_pair_is_relative_to_the_configuration(folder: Path) -> None:
    (folder / "CODE.fd").write_bytes(b"")
    (folder / "VARS.fd").write_bytes(b"")
    named = ("guest:", "guest:\n  firmware: ovmf\n  pflash: {code: CODE.fd, vars: VARS.fd}")
    shape = resolved(folder, named, NO_MEMORY).strata[0].shape
    assert shape.pflash == (str(folder / "CODE.fd"), str(folder / "VARS.fd"))
    (folder / "VARS.fd").unlink()
    with pytest.raises(ConfigError, match=r"sample.yaml:8:33: guest.pflash.vars: .*/VARS.fd is no file"):
        resolved(folder, named, NO_MEMORY)


INJECTED = (INJECT[0], INJECT[1].replace("0.25", "0.25, fault: later-round"))


def test_other_faults_are_made_by_the_gdb_stub(folder: Path, pair: tuple[str, str]) -> None:
    build = resolved(folder, OVMF, NO_MEMORY, INJECTED, kvm=NO_KVM).builds[0]
    assert (build.lost_ap_share, build.fault) == (0.25, "later-round")
    with pytest.raises(ConfigError, match=r"builds.stock.inject.fault: needs firmware: ovmf or guest.linux"):
        resolved(folder, INJECTED, kvm=NO_KVM)


def test_the_gdb_stub_holds_no_vcpu_back_under_kvm(folder: Path, pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"builds.stock.inject: needs guest.accel: tcg: QEMU's gdb stub"):
        resolved(folder, OVMF, NO_MEMORY, INJECT)
    only_tcg = resolved(folder, OVMF, NO_MEMORY, TCG_INJECT).builds[0]
    assert (only_tcg.lost_ap_share, only_tcg.fault) == (0.0, "never-woken")


def test_firmware_is_relative_to_the_configuration(folder: Path) -> None:
    (folder / "bios.bin").write_bytes(b"")
    strata = resolved(folder, ("guest:", "guest:\n  firmware: bios.bin")).strata
    assert {stratum.shape.firmware for stratum in strata} == {str(folder / "bios.bin")}


@pytest.mark.parametrize("firmware", ["seabois", "./."])
def test_firmware_that_is_no_file(folder: Path, firmware: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(folder, ("guest:", f"guest:\n  firmware: {firmware}"))
    path = folder / "seabois" if firmware == "seabois" else folder
    names = "'seabios', 'smpscan', 'ovmf', 'qboot'"
    assert str(caught.value) == f"sample.yaml:7:13: guest.firmware: {path} is neither {names} nor a file"


def test_compare_gate_and_metrics_as_configured(folder: Path) -> None:
    changes = [
        ("candidate: fixed}", "candidate: [fixed], alpha: 0.01, confidence: 0.9}"),
        (
            "{build: fixed, classes: [lost-init], better_than: stock}",
            "{max_hang_rate: 0.5, baseline: last-good, min_trials: 9}",
        ),
        ("stop:", "runs_dir: /r\nrecord: {max_bytes: 2G}\nmetrics: {listen: 'h:1', textfile: m}\nstop:"),
    ]
    settings = resolved(folder, *changes)
    assert settings.compare == Compare("stock", ("fixed",), 0.01, 0.9)
    assert settings.gate == Gate("fixed", 0.5, None, None, "last-good", 9)
    assert (settings.runs_dir, settings.metrics_listen) == (Path("/r"), ("h", 1))
    assert settings.metrics_textfile == Path("m")
    assert settings.record_max_bytes == 2 << 30


def test_a_kernel_is_settled_and_has_its_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(kernels, "INSTALLED", folder)
    memory, linux = "  memory: 32M\n", '  linux: {kernel: "6.12", append: " quiet ", initrd: ./own.img}\n'
    with pytest.raises(RigError, match=r"guest\.linux\.kernel: there is no kernel 6\.12 .* qstress host fetch 6\.12"):
        resolved(folder, (memory, linux))
    (folder / "vmlinuz-6.12.9").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"guest\.linux\.initrd: .*own\.img cannot be read"):
        resolved(folder, (memory, linux))
    (folder / "own.img").write_bytes(b"")
    shape = resolved(folder, (memory, linux)).strata[0].shape
    kernel = LinuxGuest(str(folder / "vmlinuz-6.12.9"), "6.12.9", "quiet", str(folder / "own.img"))
    assert (shape.linux, shape.memory_bytes) == (kernel, 256 << 20)
    short = resolved(folder, (memory, "  memory: 512M\n  linux: auto\n")).strata[0].shape
    assert (short.linux, short.memory_bytes) == (dataclasses.replace(kernel, append="", initrd=""), 512 << 20)


def test_a_kvm_that_emulates_its_guests_boots_no_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "INSTALLED", folder)
    (folder / "vmlinuz-6.12.9").write_bytes(b"")
    pvm, linux = dataclasses.replace(KVM, kind="pvm"), ("  memory: 32M\n", "  linux: auto\n")
    settings = resolved(folder, linux, kvm=pvm)
    assert settings.strata[0].shape.accel is Accel.TCG
    assert "KVM cannot be used: kvm_pvm emulates its guests" in settings.accel_note
    with pytest.raises(RigError, match=r"guest\.accel is kvm, but KVM cannot be used: kvm_pvm") as told:
        resolved(folder, (linux[0], "  linux: auto\n  accel: kvm\n"), kvm=pvm)
    assert told.value.reason == "no-kvm"
    assert resolved(folder, linux).strata[0].shape.accel is Accel.KVM
    assert resolved(folder, kvm=pvm).strata[0].shape.accel is Accel.KVM


def test_neither_compare_nor_gate(folder: Path) -> None:
    settings = resolved(
        folder,
        ("compare: {baseline: stock, candidate: fixed}\n", ""),
        ("gate: {build: fixed, classes: [lost-init], better_than: stock}\n", ""),
        (", decided: true", ""),
    )
    assert (settings.compare, settings.gate) == (None, None)


@pytest.mark.parametrize("kvm", [KVM, NO_SMM, NO_KVM], ids=["smm", "no smm", "no kvm"])
@pytest.mark.parametrize("path", sorted(set(CONFIGS.glob("*.yaml")) - OWN_BUILDS), ids=lambda path: path.name)
def test_the_shipped_configurations_mean_something_anywhere(
    folder: Path, path: Path, kvm: KvmFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vmlinuz-6.12.1").write_bytes(b"")
    monkeypatch.setattr(kernels, "INSTALLED", folder)
    config = load_config(path, environ={})
    settings = resolve(config, kvm=kvm, cores=2, base=path.parent)
    for build, entry in zip(settings.builds, config.builds.values(), strict=True):
        on_kvm = kvm.usable and config.guest.accel != "tcg"
        injected = entry.inject.lost_ap if entry.inject and not on_kvm else 0.0
        assert build.lost_ap_share == injected
        assert build.fix_imitated == (on_kvm and entry.smm_writeback == "reset-only")
        told = Smm.PRETENDED if entry.kvm_smm == "auto" else Smm.NONE
        assert build.smm is ({KVM: Smm.REAL, NO_SMM: told}[kvm] if on_kvm else Smm.NONE)
    assert settings.lanes == 1


def test_the_four_arms_are_three_candidates_of_one_baseline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = folder / "qemu-builds/bin"
    builds.mkdir(parents=True)
    for arm in ("stock", "fix1", "fix2", "both"):
        (builds / arm).symlink_to(folder / "qemu-system-x86_64")
    monkeypatch.setenv("HOME", str(folder))
    settings = resolve(load_config(CONFIGS / "four-arms.yaml", environ={}), kvm=NO_SMM, cores=2, base=CONFIGS)
    assert settings.compare is not None
    assert settings.compare.candidates == ("fix1", "fix2", "both")
    assert {(one.smm, one.hold_read_s, one.hold_write_s) for one in settings.builds} == {(Smm.PRETENDED, 0.001, 0.001)}


@pytest.mark.parametrize(
    ("hold", "kvm", "seconds"),
    [
        ("0", KVM, (0.0, 0.0)),
        ("{write: 1ms}", KVM, (0.001, 0.0)),
        ("{read: 100us, write: 2ms}", KVM, (0.002, 0.0001)),
        ("{write: 1ms}", NO_KVM, (0.0, 0.0)),
    ],
)
def test_a_hold_is_the_same_for_both_arms_and_needs_kvm(
    folder: Path, hold: str, kvm: KvmFacts, seconds: tuple[float, float]
) -> None:
    stock = ("stock: {binary: qemu-system-x86_64", f"stock: {{binary: qemu-system-x86_64, hold: {hold}")
    settings = resolved(folder, stock, ("fixed: {", f"fixed: {{hold: {hold}, "), kvm=kvm)
    assert {(build.hold_write_s, build.hold_read_s) for build in settings.builds} == {seconds}


def test_several_hosts_run_one_build_each_by_its_name(folder: Path) -> None:
    old = HostSettings("6.1", 2, 3 << 30, "6.1.0-57-amd64", "0" * 64, "7.2.22")
    hosts = [("old", old), ("new", dataclasses.replace(old, release="6.12.117"))]
    settings = resolve(config(*ON_HOSTS), kvm=KVM, cores=1, base=folder, hosts=hosts)
    assert [(build.name, build.binary) for build in settings.builds] == [
        (name, settings.builds[0].binary) for name in ("old", "new")
    ]
    assert settings.hosts == tuple(hosts)
    assert "; new on an emulated host: kernel 6.12.117" in settings.accel_note
