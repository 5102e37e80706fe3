"""The command line of the QEMU that an emulated host runs in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: What the kernel is told. ``nokaslr``: one layout, so that two hosts' crashes can be compared; ``panic=-1``: with
#: ``-no-reboot`` QEMU ends at once and the console keeps the last words.
#: ``kvm_amd.nested=0``: as its module is told, for a kernel that has it built in; ``kasan_multi_shot``: KASAN reports
#: once a boot else.
KERNEL_PARAMETERS = (
    "console=ttyS0", "quiet", "panic=-1", "oops=panic", "mitigations=off", "nokaslr", "tsc=reliable",
    "random.trust_cpu=on", "audit=0", "apparmor=0", "kvm_amd.nested=0", "kasan_multi_shot",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated host's size."""

    cpus: int = 2
    memory_bytes: int = 3 << 30


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Inherited descriptors, so that no file or socket is left behind: the channel (a socket), the console and the
    initramfs (memory files)."""

    channel: int
    console: int
    initramfs: int


def emulator_arguments(qemu: str, machine: Machine, kernel: str, fds: Descriptors) -> Sequence[str]:
    """Return the command line.

    ``-cpu max`` has SVM with nested paging; ``la57=off``: four levels of page tables instead of five, twice over for
    the guests inside. The root is passed by 9p, which every QEMU has: virtiofs needs a daemon that Debian 12 lacks, or
    that wants root.
    """
    return (
        qemu,
        *("-accel", "tcg,thread=multi,tb-size=1024"),
        *("-cpu", "max,la57=off"),
        *("-smp", str(machine.cpus)),
        *("-m", f"{machine.memory_bytes >> 20}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", kernel, "-initrd", f"/dev/fd/{fds.initramfs}"),
        *("-append", " ".join(KERNEL_PARAMETERS)),
        *("-add-fd", f"fd={fds.console},set=1"),
        *("-chardev", "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console"),
        *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
        *("-chardev", f"socket,id=agent,fd={fds.channel}"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=qstress"),
    )
