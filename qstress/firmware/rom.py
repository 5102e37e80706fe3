"""Our own ROMs, and the initramfs of Linux guests: where they lie, whether they are those we know, how to build ROMs.

They are committed and go into the package, so that nobody needs an assembler or a compiler; ``nasm`` and ``python -m
tools.prebuild_linux_init`` build the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qstress.errors import RigError

_PACKAGE = Path(__file__).parent.parent
_CHECKOUT = _PACKAGE.parent / "firmware"
#: Where ROMs are looked for, first to last: the installed package, the checkout.
FOLDERS = (_PACKAGE / "firmware" / "prebuilt", _CHECKOUT / "prebuilt")
SOURCES = _CHECKOUT

_ASSEMBLE = ("nasm", "-f", "bin", "-Wall", "-Werror")
_ASSEMBLE_TIMEOUT_S = 60.0
_SUMS = "SHA256SUMS"
_SUFFIXES = (".bin", ".cpio")


@dataclass(frozen=True, slots=True)
class Rom:
    """A ROM that can be given to ``-bios``; ``intact`` when its checksum is the committed one."""

    name: str
    path: Path
    sha256: str
    intact: bool


def find_rom(name: str) -> Path:
    """Return the absolute path of the ROM *name*.

    :raises RigError: reason ``firmware``: there is none, or it is not the one whose checksum is committed.
    """
    rom = next((rom for rom in available_roms() if rom.name == name), None)
    if rom is None:
        raise RigError(f"no firmware {name!r}; looked in {', '.join(map(str, FOLDERS))}", reason="firmware")
    if not rom.intact:
        raise RigError(f"{rom.path} does not have the checksum in {_SUMS}; build it again", reason="firmware")
    return rom.path


def available_roms() -> list[Rom]:
    """Return every ROM that :func:`find_rom` would look at, one a name, by name."""
    roms: dict[str, Rom] = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*")):
            if path.suffix in _SUFFIXES:
                roms.setdefault(path.stem, _rom(path))
    return [roms[name] for name in sorted(roms)]


def assemble(name: str, out: Path) -> Path:
    """Assemble the ROM *name* into the file *out* and return it.

    :raises RigError: reason ``firmware``: no source (only a checkout has it), no nasm, or nasm refused it.
    """
    source = SOURCES / f"{name}.asm"
    if not source.is_file():
        raise RigError(f"no source of the firmware at {source}: only a checkout has it", reason="firmware")
    if shutil.which(_ASSEMBLE[0]) is None:
        raise RigError("building the firmware needs nasm (Debian: apt install nasm)", reason="firmware")
    command = (*_ASSEMBLE, "-o", str(out), str(source))
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_ASSEMBLE_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        raise RigError(f"nasm failed: {error.stderr.strip()}", reason="firmware") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"nasm could not be run: {error}", reason="firmware") from error
    return out


def _rom(path: Path) -> Rom:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    sums = path.with_name(_SUMS)
    lines = sums.read_text().splitlines() if sums.is_file() else []
    return Rom(path.stem, path.resolve(), sha256, f"{sha256}  {path.name}" in lines)
