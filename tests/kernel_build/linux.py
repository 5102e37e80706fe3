"""A Linux source tree of a few lines, and stand-ins for what builds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.host.hosts import program
from tests.host.trees import SOURCE

BASE = ["CONFIG_X86_64=y", "CONFIG_KVM=m", "CONFIG_DRM=y", "CONFIG_SND=m", 'CONFIG_BUILD_SALT="6.1.0-57-amd64"']
BUILT_IN = "".join(f"kernel/{name}.ko\n" for name in (
    "virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "kvm-amd"
))  # fmt: skip

#: Stands for make: completes a configuration, or makes an image that names its release and its source's checksum.
MAKE = """\
for word; do case $word in O=*) out=${word#O=};; olddefconfig|bzImage) goal=$word;; esac; done
tree=$2
echo "$goal" >> "$tree/../made"
if [ $goal = olddefconfig ]; then
    [ ! -e "$tree/../drops" ] || sed -i "/$(cat "$tree/../drops")/d" "$out/.config"
    exit 0
fi
[ ! -e "$tree/.config" ] || { echo "*** The source tree is not clean"; exit 2; }
! grep -q oops "$tree/arch/x86/kvm/svm/svm.c" || { echo "svm.c:3:1: error: unknown type name 'oops'"; exit 2; }
for n in 1 2 3 4 5 6 7 8 9 10; do for m in 1 2 3 4 5 6 7 8 9 10; do echo "  CC      kernel/$n$m.o"; done; done
release=6.1.99$(sed -n 's/^CONFIG_LOCALVERSION="\\(.*\\)"/\\1/p' "$out/.config")
mkdir -p "$out/arch/x86/boot" "$out/include/config"
echo "$release" > "$out/include/config/kernel.release"
{ head -c 514 /dev/zero; printf HdrS; head -c 8 /dev/zero; printf '\\000\\001'; head -c 240 /dev/zero
  printf '%s (qstress@qstress) %s' "$release" "$(cksum < "$tree/arch/x86/kvm/svm/svm.c")"; head -c 512 /dev/zero
} > "$out/arch/x86/boot/bzImage"
printf '%s' "$BUILT_IN" > "$out/modules.builtin"
"""


def linux(folder: Path) -> Path:
    """Make a source tree in *folder*."""
    for name, text in {
        "Kconfig": "",
        "Makefile": "# SPDX\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 99\nEXTRAVERSION =\nNAME = X\n",
        "arch/x86/kvm/svm/svm.c": SOURCE,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def builders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for all that a build needs on PATH; return their folder."""
    for name in ("flex", "bison", "bc", "ld", "cc"):
        program(folder, name, "echo stand-in 1.0")
    program(folder, "make", MAKE)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("BUILT_IN", BUILT_IN)
    monkeypatch.delenv("CC", raising=False)
    return folder
