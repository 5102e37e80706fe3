"""A configuration meets this host: paths, binaries, accelerator and SMM are settled, axes become strata.

The result is a :class:`Settings`, made of :mod:`qstress.model`'s types only.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from qstress.config import binary, rules
from qstress.config.schema import BuildEntry, Config, HammerEntry
from qstress.config.settings import Compare, FleetSettings, Gate, HostSettings, Settings, TlsFiles
from qstress.config.tree import Loc, refusal
from qstress.config.wording import problem_at
from qstress.errors import ConfigError, RigError
from qstress.firmware import BY_NAME, firmware_named
from qstress.firmware.base import ApFault
from qstress.firmware.kernels import guest_kernel
from qstress.firmware.pflash import find_pflash
from qstress.model import Accel, Build, HammerSpec, LinuxGuest, Rate, Shape, Smm, SmmWriteback, Stratum

if TYPE_CHECKING:
    from qstress.config.kvm import KvmFacts

#: More cells than this no run can fill with trials.
MAX_CELLS = 4096
#: One process carries so many hammered lanes without falling behind (docs/fleet.md, "More cores, more machines").
WORKER_LANES = 4


def resolve(
    config: Config, *, kvm: KvmFacts, cores: int, base: Path, host: HostSettings | None = None,
    hosts: Sequence[tuple[str, HostSettings]] = (),
) -> Settings:  # fmt: skip
    """Settle *config* on this host, or on the emulated *host*, or several *hosts*, whose KVM and cores are given then.

    :param kvm: what this host's KVM can do.
    :param cores: cores that qstress may use, at least 1; of several hosts those of the smallest.
    :param base: the configuration file's folder; paths of binaries and firmware are relative to it.
    :raises ConfigError: it cannot mean anything here (no firmware file, a fault that cannot be injected).
    :raises RigError: the host lacks what it asks for; reason ``no-kvm``, ``qemu-missing`` or ``not-qemu``.
    """
    accel, note = _accelerator(config, kvm)
    if host is not None:
        note += f" {host.wording}"
    note += "".join(f"; {name} {each.wording}" for name, each in hosts)
    placement = config.guest.placement if cores > 1 else "none"
    if placement != config.guest.placement:
        note += f"; WARNING: placement {config.guest.placement} needs two cores and there is one: none is used"
    strata = _strata(config, accel, base, placement)
    largest = max(config.guest.smp)
    if accel is Accel.KVM and 0 < kvm.max_vcpus < largest:
        text = f"guest.smp has {largest}, but this host's KVM runs at most {kvm.max_vcpus} vCPUs"
        raise RigError(text, reason="no-kvm")
    builds = _builds(config, accel, kvm, base)
    if config.hosts:  # which are compared: one build on each, by the host's name
        builds = tuple(replace(build, name=name) for build in builds for name in config.hosts)
    injected = [build.name for build in builds if build.lost_ap_share]
    if injected:
        note += f"; lost APs are injected into: {', '.join(injected)}"
    if any(config.churn) and cores < 2:
        note += "; churn cannot happen: there is one core"
    metrics, lanes = config.metrics, config.lanes or max(1, cores // 2)
    return Settings(
        name=config.name,
        builds=builds,
        strata=strata,
        stop_trials=config.stop.trials,
        stop_duration_s=config.stop.duration,
        stop_decided=config.stop.decided,
        compare=_compare(config),
        gate=_gate(config),
        lanes=lanes,
        seed=config.seed,
        runs_dir=Path(config.runs_dir).expanduser(),
        metrics_listen=metrics.listen,
        metrics_textfile=Path(metrics.textfile).expanduser() if metrics.textfile else None,
        accel_note=note,
        record_max_bytes=config.record.max_bytes,
        host=host,
        workers=config.workers or -(-lanes // WORKER_LANES),
        fleet=fleet_settings(config, base),
        hosts=tuple(hosts),
    )


def fleet_settings(config: Config, base: Path) -> FleetSettings | None:
    """Return the fleet, with the paths of its certificates as they are from anywhere.

    :param base: the configuration file's folder.
    :raises ConfigError: a certificate cannot be read.
    """
    if (fleet := config.fleet) is None:
        return None
    if fleet.tls is None:
        return FleetSettings(fleet.scheduler)
    paths = {}
    for key, word in fleet.tls.model_dump().items():
        paths[key] = os.path.abspath(base / os.path.expanduser(word))
        if not os.access(paths[key], os.R_OK):
            raise _refused(config, ("fleet", "tls", key), f"{paths[key]} cannot be read")
    return FleetSettings(fleet.scheduler, TlsFiles(**paths))


def _refused(config: Config, loc: Loc, text: str) -> ConfigError:
    return refusal([problem_at(config._origin, loc, text)])


def _accelerator(config: Config, kvm: KvmFacts) -> tuple[Accel, str]:
    """Return the accelerator and one line that says why it is this one."""
    asked, why_not = config.guest.accel, "" if kvm.usable else kvm.reason
    if kvm.kind == "pvm" and rules.guest_kind(config).whole_cpu:
        why_not = "kvm_pvm emulates its guests, and runs neither a stock kernel nor OVMF; that of host: emulated does"
    if asked == "kvm" and why_not:
        raise RigError(f"guest.accel is kvm, but KVM cannot be used: {why_not}", reason="no-kvm")
    if asked == "kvm" or (asked == "auto" and not why_not):
        return Accel.KVM, "KVM"
    why = "as configured" if asked == "tcg" else f"because KVM cannot be used: {why_not}"
    return Accel.TCG, f"TCG, {why}; the race itself cannot occur under TCG"


def _builds(config: Config, accel: Accel, kvm: KvmFacts, base: Path) -> tuple[Build, ...]:
    """Return the builds; a binary that several of them share is hashed and asked once."""
    sha256_of = cache(binary.sha256_of)
    version_of = cache(lambda path, env: binary.qemu_version(path, dict(env)))
    builds = []
    for name, entry in config.builds.items():
        share = _lost_ap_share(config, name, entry, accel)
        held = entry.hold if accel is Accel.KVM else None
        try:
            path, env = binary.find_binary(entry.binary, base), tuple(entry.env.items())
            version, sha256 = version_of(path, env), sha256_of(path)
        except RigError as error:
            raise RigError(f"builds.{name}.binary: {error}", reason=error.reason) from error
        builds.append(
            Build(
                name=name,
                binary=str(path),
                version=version,
                sha256=sha256,
                args=entry.args,
                env=env,
                smm=_smm(entry, accel, kvm),
                smm_writeback=SmmWriteback(entry.smm_writeback if accel is Accel.KVM else "as-is"),
                lost_ap_share=share,
                fault=entry.inject.fault if entry.inject else ApFault.NEVER_WOKEN.value,
                hold_write_s=(held.write or 0.0) if held else 0.0,
                hold_read_s=(held.read or 0.0) if held else 0.0,
                hold_until_checkin_s=(held.until_checkin or 0.0) if held else 0.0,
            )
        )
    return tuple(builds)


def _smm(entry: BuildEntry, accel: Accel, kvm: KvmFacts) -> Smm:
    """Return what QEMU will believe of SMM in KVM. Under TCG there is no KVM to have it."""
    if accel is Accel.TCG:
        return Smm.NONE
    if entry.kvm_smm == "pretend" or (entry.kvm_smm == "auto" and not kvm.smm):
        return Smm.PRETENDED
    return Smm.REAL if kvm.smm else Smm.NONE


def _lost_ap_share(config: Config, name: str, entry: BuildEntry, accel: Accel) -> float:
    """Return the share of trials into which a lost AP is injected on this accelerator."""
    if entry.inject is None or not entry.inject.lost_ap or entry.inject.accel not in ("any", accel):
        return 0.0
    fault = rules.guest_kind(config).lost_ap
    if fault is None:
        raise _refused(config, ("builds", name, "inject"), f"no AP can be lost under firmware {config.guest.firmware}")
    if entry.inject.fault not in fault.faults:
        others = " or ".join(name for name, kind in BY_NAME.items() if kind.needs_gdb)
        linux = " or guest.linux" if entry.inject.fault == "later-round" else ""
        raise _refused(config, ("builds", name, "inject", "fault"), f"needs firmware: {others}{linux}")
    if rules.guest_kind(config).by_gdb(entry.inject.fault) and accel is not Accel.TCG:
        text = "needs guest.accel: tcg: QEMU's gdb stub, which makes this fault, holds no vCPU back under KVM"
        raise _refused(config, ("builds", name, "inject"), text)
    for smp in config.guest.smp:
        if smp not in fault.smp:
            low, high = fault.smp[0], fault.smp[-1]
            text = f"a lost AP can be injected at smp {low} to {high} only, and guest.smp has {smp}"
            raise _refused(config, ("builds", name, "inject"), text)
    return entry.inject.lost_ap


def _strata(config: Config, accel: Accel, base: Path, placement: str) -> tuple[Stratum, ...]:
    """Return the cross product of the axes: machine, smp, each hammer's rates and churn (the last varies fastest)."""
    guest = config.guest
    axes = [len(hammer.rate) for hammer in config.hammer]
    cells = len(config.builds) * len(guest.smp) * len(guest.machine) * len(config.churn)
    for axis in axes:
        cells *= axis
    if cells > MAX_CELLS:
        raise _refused(config, (), f"{cells} cells (builds x machine x smp x rates x churn) are more than {MAX_CELLS}")
    firmware, pflash, linux = _firmware(config, base), _pflash(config, base), _linux(config, base)
    shapes = [
        Shape(
            smp,
            machine,
            accel,
            _memory_bytes(config),
            firmware,
            guest.args,
            placement=placement,
            restart=guest.restart,
            process_trials=rules.process_trials(config),
            observe=config.observe,
            storm_s=guest.storm or 0.0,
            settle_s=_settle_s(config, accel),
            pflash=pflash,
            linux=linux,
        )
        for machine, smp in itertools.product(guest.machine, guest.smp)
    ]
    hammers = list(itertools.product(*([_spec(hammer, rate) for rate in hammer.rate] for hammer in config.hammer)))
    return tuple(Stratum(*combination) for combination in itertools.product(shapes, hammers, config.churn))


def _settle_s(config: Config, accel: Accel) -> float:
    guest = config.guest
    if guest.settle is not None:
        return guest.settle
    by_itself = firmware_named(guest.firmware).settle_s or 0.0
    return by_itself if accel is Accel.KVM and config.hammer else 0.0


def _memory_bytes(config: Config) -> int:
    """Return the guest's memory; what is not set is as much as its firmware, or a kernel behind it, needs."""
    guest = config.guest
    if "memory" in guest.model_fields_set:
        return guest.memory
    return rules.LINUX_BYTES if guest.linux else max(guest.memory, firmware_named(guest.firmware).least_memory_bytes)


def _pflash(config: Config, base: Path) -> tuple[str, ...]:
    """Return the paths of the images of a firmware in flash, as configured or as this host has them."""
    if not firmware_named(config.guest.firmware).flash:
        return ()
    if config.guest.pflash is None:
        return find_pflash()
    pair = {key: os.path.abspath(base / os.path.expanduser(word)) for key, word in config.guest.pflash}
    for key, path in pair.items():
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise _refused(config, ("guest", "pflash", key), f"{path} is no file that can be read")
    return pair["code"], pair["vars"]


def _spec(hammer: HammerEntry, rate: Rate) -> HammerSpec:
    mix = hammer.mix or ()
    command = hammer.command or " | ".join(f"{weight}x {line}" for line, weight in mix)
    return HammerSpec(command, hammer.via, rate, hammer.arguments, hammer.start, hammer.until, mix)


def _firmware(config: Config, base: Path) -> str:
    """Return a firmware's name, or the absolute path of a firmware file that can be read."""
    word = config.guest.firmware
    if word in BY_NAME:
        return word
    path = os.path.abspath(base / os.path.expanduser(word))
    if not os.path.isfile(path):
        names = ", ".join(map(repr, BY_NAME))
        raise _refused(config, ("guest", "firmware"), f"{path} is neither {names} nor a file")
    if not os.access(path, os.R_OK):
        raise _refused(config, ("guest", "firmware"), f"{path} cannot be read")
    return path


def _linux(config: Config, base: Path) -> LinuxGuest | None:
    """Return the kernel that guests boot, with paths as they are from anywhere."""
    entry = config.guest.linux
    if entry is None:
        return None
    try:
        kernel, release = guest_kernel(entry.kernel, base, image=firmware_named(config.guest.firmware).flash)
    except RigError as error:
        raise RigError(f"guest.linux.kernel: {error}", reason=error.reason) from error
    initrd = "" if entry.initrd == "auto" else os.path.abspath(base / os.path.expanduser(entry.initrd))
    if initrd and not os.access(initrd, os.R_OK):
        raise _refused(config, ("guest", "linux", "initrd"), f"{initrd} cannot be read")
    return LinuxGuest(str(kernel), release, entry.append.strip(), initrd, entry.rounds)


def _compare(config: Config) -> Compare | None:
    compare = config.compare
    if compare is None:
        return None
    return Compare(compare.baseline, compare.candidate, compare.alpha, compare.confidence, compare.classes)


def _gate(config: Config) -> Gate | None:
    gate, build = config.gate, rules.gated_build(config)
    if gate is None or build is None:
        return None
    return Gate(build, gate.max_hang_rate, gate.classes, gate.better_than, gate.baseline, gate.min_trials)
