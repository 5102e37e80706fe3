"""Which options a kernel for an emulated host is built with (pure).

A distribution's configuration is the beginning, and drivers are taken away from it: what began at ``tinyconfig`` and
added what is needed did boot, but its guests never ran (docs/background/emulated-hosts.md, "Traps of emulated hosts").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum


class Sanitizer(Enum):
    """What the compiler builds into a kernel that watches it. KCSAN and KASAN exclude each other."""

    NONE = "none"
    KCSAN = "kcsan"
    KASAN = "kasan"


#: Built in, so that no module is loaded: what :mod:`qstress.emulated` mounts, talks through and boots by, and KVM.
NEEDED = (
    "64BIT", "SMP", "ACPI", "PCI", "PCI_MSI", "PVH", "BLK_DEV_INITRD", "BINFMT_ELF", "BINFMT_SCRIPT", "MULTIUSER",
    "SERIAL_8250", "SERIAL_8250_CONSOLE", "UNIX98_PTYS", "DEVTMPFS", "PROC_FS", "SYSFS", "TMPFS", "TMPFS_XATTR",
    "SHMEM", "MEMFD_CREATE", "FUTEX", "EPOLL", "EVENTFD", "SIGNALFD", "TIMERFD", "AIO", "FILE_LOCKING", "INOTIFY_USER",
    "SECCOMP", "SECCOMP_FILTER", "NAMESPACES", "NET", "UNIX", "INET", "SCHEDSTATS", "TASKSTATS", "CPUSETS",
    "VIRTIO", "VIRTIO_PCI", "VIRTIO_PCI_LEGACY", "VIRTIO_CONSOLE", "NET_9P", "NET_9P_VIRTIO", "9P_FS",
    "9P_FS_POSIX_ACL", "OVERLAY_FS", "VIRTUALIZATION", "KVM", "KVM_AMD",
    "MODULES", "MODULE_UNLOAD", "KALLSYMS", "KALLSYMS_ALL", "PRINTK_CALLER", "KPROBES", "FTRACE", "DEBUG_FS",
    "SOFTLOCKUP_DETECTOR", "DETECT_HUNG_TASK", "DEBUG_LIST",
)  # fmt: skip
#: Wanted where the kernel is new enough to know it: before 6.7 KVM always has SMM.
WANTED = ("KVM_SMM",)
#: What a distribution builds in and no emulated host has: other hypervisors, firmware and power, devices, file systems'
#: helpers, policies; then what makes a build slow or wants keys and programs that are not everywhere (pahole, kmod).
_TAKEN_AWAY = (
    "XEN", "HYPERV", "JAILHOUSE_GUEST", "ACRN_GUEST", "INTEL_TDX_GUEST", "KVM_INTEL", "KVM_AMD_SEV", "KVM_XEN",
    "KVM_WERROR", "WERROR", "AMD_MEM_ENCRYPT", "X86_SGX", "INTEL_TXT", "X86_CPU_RESCTRL",
    "EFI", "EFI_PARTITION", "KEXEC", "KEXEC_FILE", "CRASH_DUMP", "HIBERNATION", "SUSPEND", "LIVEPATCH",
    "ACPI_APEI", "ACPI_PCC", "PMIC_OPREGION", "ACPI_EXTLOG", "CPU_FREQ", "POWERCAP", "THERMAL", "RAS", "EDAC",
    "INTEL_IOMMU", "AMD_IOMMU", "HYPERV_IOMMU", "IOMMU_SUPPORT", "VFIO", "DEVFREQ", "PM_DEVFREQ", "LIBNVDIMM", "DAX",
    "X86_PMEM_LEGACY",
    "DRM", "FB", "FB_CMDLINE", "FRAMEBUFFER_CONSOLE", "AGP", "VGA_SWITCHEROO", "BACKLIGHT_CLASS_DEVICE", "SOUND",
    "MEDIA_SUPPORT", "MEDIA_CEC_SUPPORT", "RC_CORE", "ACCESSIBILITY", "SPEAKUP",
    "STAGING", "CHROME_PLATFORMS", "SURFACE_PLATFORMS", "MELLANOX_PLATFORM", "X86_PLATFORM_DEVICES", "X86_INTEL_LPSS",
    "X86_AMD_PLATFORM_DEVICE", "USB_SUPPORT", "HID_SUPPORT", "HID", "HWMON", "POWER_SUPPLY", "NEW_LEDS", "GPIOLIB",
    "PINCTRL", "I2C", "SPI", "SPMI", "I3C", "REGULATOR", "MFD_CORE", "INTEL_SOC_PMIC", "INTEL_SOC_PMIC_CHTWC", "PWM",
    "IIO", "MMC", "MTD", "PCCARD", "MCB", "SSB", "BCMA", "GENERIC_PHY", "WATCHDOG", "TCG_TPM", "INFINIBAND",
    "DMADEVICES", "NET_VENDOR_ETHERNET", "ETHERNET", "WLAN", "NETDEVICES", "WIRELESS", "RFKILL", "HAMRADIO", "CAN",
    "BT", "NFC", "ATM", "MPTCP", "MPLS", "NETLABEL", "DCB", "NETFILTER", "TLS_DEVICE", "XFRM_USER", "IP_MROUTE",
    "ATA", "SCSI", "MD", "BLK_DEV_DM", "FUSION", "TARGET_CORE", "PARTITION_ADVANCED", "BLK_SED_OPAL", "BLK_DEBUG_FS",
    "FS_ENCRYPTION", "FS_VERITY", "QUOTA", "MISC_FILESYSTEMS", "NETWORK_FILESYSTEMS_NFS", "PSTORE", "UNICODE", "DLM",
    "SECURITY_SELINUX", "SECURITY_TOMOYO", "SECURITY_APPARMOR", "SECURITY_LOCKDOWN_LSM", "SECURITY_LANDLOCK", "BPF_LSM",
    "INTEGRITY", "IMA", "EVM", "MODULE_SIG", "MODVERSIONS", "SYSTEM_TRUSTED_KEYRING", "SYSTEM_BLACKLIST_KEYRING",
    "SECONDARY_TRUSTED_KEYRING", "CRYPTO_HW", "CRYPTO_FIPS", "LOCALVERSION_AUTO",
    "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT", "DEBUG_INFO_DWARF4", "DEBUG_INFO_DWARF5", "DEBUG_INFO_BTF", "DEBUG_INFO",
    "GCC_PLUGINS", "MEMTEST", "DEBUG_WX",
)  # fmt: skip
#: Values that differ from the distribution's. No debugging information, and an image that is quick to make.
_VALUES = {
    "DEBUG_INFO_NONE": "y", "KERNEL_GZIP": "y", "KERNEL_XZ": "n", "BUILD_SALT": '""', "SYSTEM_TRUSTED_KEYS": '""',
    "LOG_BUF_SHIFT": "22",
}  # fmt: skip
#: docs/host-kernel.md, "Building one". Source: Linux, lib/Kconfig.kcsan, lib/Kconfig.kasan.
_SANITIZERS: Mapping[Sanitizer, Mapping[str, str]] = {
    Sanitizer.NONE: {"KCSAN": "n", "KASAN": "n"},
    Sanitizer.KCSAN: {
        "KASAN": "n", "KCSAN": "y", "KCSAN_REPORT_VALUE_CHANGE_ONLY": "n", "KCSAN_ASSUME_PLAIN_WRITES_ATOMIC": "n",
        "KCSAN_INTERRUPT_WATCHER": "y",
    },
    Sanitizer.KASAN: {"KCSAN": "n", "KASAN": "y", "KASAN_GENERIC": "y", "KASAN_INLINE": "y", "KASAN_VMALLOC": "y"},
}  # fmt: skip
_LINE = re.compile(r"(?:CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set)")


def parsed(lines: Iterable[str]) -> dict[str, str]:
    """Return the options of a ``.config``, names without ``CONFIG_``; ``n`` for one that is not set.

    >>> parsed(["# a comment", "CONFIG_KVM=m", "# CONFIG_KCSAN is not set", 'CONFIG_LOCALVERSION="-x"'])
    {'KVM': 'm', 'KCSAN': 'n', 'LOCALVERSION': '"-x"'}
    """
    matches = (_LINE.fullmatch(line.strip()) for line in lines)
    return {match[1] or match[3]: match[2] if match[1] else "n" for match in matches if match}


def small_config(base: Iterable[str], sanitizer: Sanitizer, name: str) -> list[str]:
    """Return the lines of a ``.config`` for an emulated host's kernel, before ``make olddefconfig`` completes it.

    No option is a module: what *base* has as one is off, unless it is :data:`NEEDED`.

    :param base: the lines of a distribution's ``.config``.
    :param name: goes behind the release (``uname -r``), so that the kernels of a pair are told apart.
    """
    options = {key: "n" if value == "m" else value for key, value in parsed(base).items()}
    options |= dict.fromkeys(_TAKEN_AWAY, "n")
    options |= _VALUES | asked_for(sanitizer) | dict.fromkeys(WANTED, "y") | {"LOCALVERSION": f'"-{name}"'}
    return [f"# CONFIG_{key} is not set" if value == "n" else f"CONFIG_{key}={value}" for key, value in options.items()]


def asked_for(sanitizer: Sanitizer) -> dict[str, str]:
    """Return what a kernel must have, by name: ``y``, ``n`` or a value."""
    return dict.fromkeys(NEEDED, "y") | dict(_SANITIZERS[sanitizer])


def dropped(config: Iterable[str], sanitizer: Sanitizer) -> Sequence[str]:
    """Return which of the needed options *config*, the lines that ``make olddefconfig`` has left, lacks."""
    options = parsed(config)
    return [key for key, value in asked_for(sanitizer).items() if options.get(key, "n") != value]
