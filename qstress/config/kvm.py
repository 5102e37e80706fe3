"""What this host's KVM can do, asked of ``/dev/kvm`` itself: no QEMU, no guest code, every descriptor closed.

Request numbers and structures: Linux ``include/uapi/linux/kvm.h`` and ``arch/x86/include/uapi/asm/kvm.h``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_GET_MSR_INDEX_LIST = 0xC004AE02
_CHECK_EXTENSION = 0xAE03
_CREATE_VCPU = 0xAE41
_CREATE_IRQCHIP = 0xAE60
_GET_VCPU_EVENTS = 0x8040AE9F
_SET_VCPU_EVENTS = 0x4040AEA0
_CAP_MAX_VCPUS = 66
_CAP_X86_SMM = 117
_API_VERSION = 12
_MSR_SMBASE = 0x9E
_MAX_MSRS = 4096  # kernels list a few hundred
_EVENTS_BYTES, _EVENTS_FLAGS, _EVENTS_LATCHED_INIT = 64, 20, 27  # of struct kvm_vcpu_events
_VALID_SMM = 8
_KINDS = {"kvm_intel": "vmx", "kvm_amd": "svm", "kvm_pvm": "pvm"}


@dataclass(frozen=True, slots=True)
class KvmFacts:
    """What KVM can do here.

    ``usable``: a VM with an in-kernel irqchip and one vCPU can be made; else ``reason`` says why not and what helps, in
    one line. ``smm``: QEMU will take SMM as present (MSR 0x9e is in KVM's list: QEMU 7.2 to 11.0,
    ``target/i386/kvm/kvm.c``, ``has_msr_smbase``); ``smm_cap``: KVM says so itself. ``kind`` is vmx, svm, pvm or other,
    None without a device. ``nested``: this host is itself a guest. ``clears_latched_init``: writing
    ``latched_init`` 0 takes a pending INIT back, as the race needs (Linux since ff90afa75573, 2019); None: not told.
    """

    usable: bool
    reason: str
    smm: bool = False
    smm_cap: bool = False
    irqchip: bool = False
    kind: str | None = None
    nested: bool | None = None
    max_vcpus: int = 0
    clears_latched_init: bool | None = None


def probe(
    device: str = "/dev/kvm", *, modules: Path = Path("/sys/module"), cpuinfo: Path = Path("/proc/cpuinfo")
) -> KvmFacts:
    """Return what the KVM behind *device* can do; never raises, and leaves no VM and no descriptor behind.

    :param modules: where the kernel lists its modules, built-in ones with parameters included.
    """
    flags = cpu_words(cpuinfo, "flags").split()
    facts = KvmFacts(usable=False, reason="", nested="hypervisor" in flags if flags else None)
    with ExitStack() as descriptors:
        try:
            kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            descriptors.callback(os.close, kvm)
        except (OSError, ValueError) as error:
            return replace(facts, reason=_why_not_opened(device, error))
        try:
            if fcntl.ioctl(kvm, _GET_API_VERSION) != _API_VERSION:
                return replace(facts, reason=f"{device} speaks another version of the KVM interface")
            facts = replace(
                facts,
                smm=_MSR_SMBASE in _msr_indices(kvm),
                smm_cap=fcntl.ioctl(kvm, _CHECK_EXTENSION, _CAP_X86_SMM) > 0,
                max_vcpus=fcntl.ioctl(kvm, _CHECK_EXTENSION, _CAP_MAX_VCPUS),
                kind=_kind(modules, flags),
            )
        except OSError as error:
            return replace(facts, reason=f"{device} is not a KVM device ({error.strerror})")
        return _with_vm(kvm, facts, descriptors)


def _with_vm(kvm: int, facts: KvmFacts, descriptors: ExitStack) -> KvmFacts:
    """Return *facts* with what only a VM can tell."""
    step = "a virtual machine"
    try:
        vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
        descriptors.callback(os.close, vm)
        step = "an interrupt controller in the kernel"
        fcntl.ioctl(vm, _CREATE_IRQCHIP, 0)
        facts = replace(facts, irqchip=True)
        step = "a vCPU"
        vcpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
        descriptors.callback(os.close, vcpu)
    except OSError as error:
        return replace(facts, reason=f"KVM cannot make {step} ({error.strerror}); another hypervisor may hold the CPU")
    return replace(facts, usable=True, clears_latched_init=_clears_latched_init(vcpu))


def _clears_latched_init(vcpu: int) -> bool | None:
    """Latch an INIT, write ``latched_init`` 0 as QEMU's write-back does, and look whether it is gone."""
    try:
        _set_latched_init(vcpu, 1)
        if not _latched_init(vcpu):
            return None
        _set_latched_init(vcpu, 0)
        return not _latched_init(vcpu)
    except OSError:
        return None


def _set_latched_init(vcpu: int, value: int) -> None:
    events = bytearray(_EVENTS_BYTES)
    struct.pack_into("=I", events, _EVENTS_FLAGS, _VALID_SMM)
    events[_EVENTS_LATCHED_INIT] = value
    fcntl.ioctl(vcpu, _SET_VCPU_EVENTS, events)


def _latched_init(vcpu: int) -> bool:
    events = bytearray(_EVENTS_BYTES)
    fcntl.ioctl(vcpu, _GET_VCPU_EVENTS, events)
    return events[_EVENTS_LATCHED_INIT] != 0


def _msr_indices(kvm: int) -> tuple[int, ...]:
    buffer = bytearray(struct.pack("=I", _MAX_MSRS) + bytes(4 * _MAX_MSRS))
    fcntl.ioctl(kvm, _GET_MSR_INDEX_LIST, buffer)
    (count,) = struct.unpack_from("=I", buffer)
    return struct.unpack_from(f"={count}I", buffer, 4)


def cpu_words(cpuinfo: Path, key: str) -> str:
    """Return what *cpuinfo* says of the first CPU under *key*; empty where it does not (of a file that can be long)."""
    with suppress(OSError), cpuinfo.open(encoding="ascii", errors="replace") as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    return ""


def _kind(modules: Path, flags: Sequence[str]) -> str:
    """Return whose KVM this is; where several are built in, the CPU decides."""
    present = [kind for module, kind in _KINDS.items() if (modules / module).is_dir()]
    return next((kind for kind in present if kind in flags), present[-1] if present else "other")


def _why_not_opened(device: str, error: OSError | ValueError) -> str:
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENXIO | errno.ENODEV:
            remedy = "load kvm_intel or kvm_amd, or allow virtualisation in the firmware or in the hypervisor above"
            return f"{device} does not exist or has no driver; {remedy}"
        case errno.EACCES | errno.EPERM:
            return f"no permission to open {device}; join its group (usermod -aG kvm USER) and log in again"
        case _:
            return f"{device} cannot be opened: {getattr(error, 'strerror', None) or error}"
