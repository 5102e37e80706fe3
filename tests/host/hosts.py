"""Hosts made of a few files, for the tests of ``doctor`` and its checks."""

from __future__ import annotations

from pathlib import Path


def program(folder: Path, name: str, script: str) -> Path:
    """Put an executable shell script into *folder*."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def qemu(
    folder: Path, name: str = "qemu-system-x86_64", *, seabios: bool = True, sandbox: bool = True, machine: str = "pc"
) -> Path:
    """Put a QEMU that only talks about itself into *folder*, with its data in ``<folder>/share``."""
    data = folder / "share"
    data.mkdir(parents=True, exist_ok=True)
    if seabios:
        (data / "bios-256k.bin").touch()
    refuse = "" if sandbox else "*sandbox*) echo 'sandbox: not supported' >&2; exit 1;;"
    return program(
        folder, name,
        f"case \"$*\" in --version) echo 'QEMU emulator version 9.8.7';; '-L help') echo '{data}';; "
        f"'-machine help') echo '{machine} Standard PC';; {refuse} esac",
    )  # fmt: skip


def setpriv(folder: Path) -> Path:
    """Put a ``setpriv`` into *folder* that only runs what follows ``--pdeathsig KILL --``."""
    return program(folder, "setpriv", 'shift 3; exec "$@"')
