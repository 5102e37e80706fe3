"""Our own firmware: where its ROM lies, whether it is the one we know, how to build it, and how QEMU hands it options.

The ROM is committed and goes into the package, so that nobody needs an assembler; ``nasm`` builds the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from qstress.errors import ConfigError, RigError
from qstress.model import Accel, Shape

_PACKAGE = Path(__file__).parent.parent
_CHECKOUT = _PACKAGE.parent / "firmware"
#: Where ROMs are looked for, first to last: the installed package, the checkout.
FOLDERS = (_PACKAGE / "firmware" / "prebuilt", _CHECKOUT / "prebuilt")
SOURCE = _CHECKOUT / "smpscan.asm"

_ASSEMBLE = ("nasm", "-f", "bin", "-Wall", "-Werror")
_ASSEMBLE_TIMEOUT_S = 60.0
_SUMS = "SHA256SUMS"
_LARGEST = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Rom:
    """A ROM that can be given to ``-bios``; ``intact`` when its checksum is the committed one."""

    name: str
    path: Path
    sha256: str
    intact: bool


@dataclass(frozen=True, slots=True)
class SmpscanOptions:
    """What smpscan can be told; the fields are in the order of its options' text.

    ``deadline_us``: guest time without a new check-in after which APs are reported missing, at most 100 s. ``after``:
    what follows when all are in. ``missing``: what follows a report (``stop`` keeps waiting, as SeaBIOS does).
    ``rounds``: how often all are woken again without a reset (never trials). ``leave_out``: the APIC id of an AP that
    is not woken in every ``every``-th bring-up or round, 0 for none. ``payload``: what an AP does once checked in.
    ``storm_us``: how long its ``storm`` goes on once all are in and before what ``after`` says, at most 100 s; 0 for
    ever. ``settle_us``: how long the boot CPU waits between announcing a bring-up and waking the others, and up to half
    as much again, at most 100 s.
    """

    deadline_us: int = 50_000
    after: Literal["stop", "reset"] = "stop"
    missing: Literal["stop", "reset"] = "stop"
    rounds: int = 0
    leave_out: int = 0
    every: int = 1
    payload: Literal["halt", "spin", "storm"] = "halt"
    storm_us: int = 0
    settle_us: int = 0


#: How long smpscan waits for a check-in, and how much more a vCPU. A report of missing APs is only a doubt and costs a
#: healthy bring-up some 30 ms, so under KVM it comes early; under TCG vCPUs share the host's cores in longer turns.
DEADLINE_US, DEADLINE_VCPU_US = {Accel.KVM: 8_000, Accel.TCG: 50_000}, {Accel.KVM: 500, Accel.TCG: 0}

_NUMBERS = {"stop": 0, "reset": 1, "halt": 0, "spin": 1, "storm": 2}


def arguments(options: SmpscanOptions) -> tuple[str, ...]:
    """Return the QEMU arguments that hand *options* to smpscan.

    :raises ConfigError: a number that smpscan cannot take.
    """
    words = []
    for option in fields(options):
        value = getattr(options, option.name)
        number = _NUMBERS[value] if isinstance(value, str) else value
        if not 0 <= number <= _LARGEST:
            raise ConfigError(f"smpscan: {option.name} must be from 0 to {_LARGEST}, not {number}")
        words.append(f"{option.name}={number}")
    return ("-fw_cfg", f"name=opt/qstress/options,string={' '.join(words)}")


def chosen(shape: Shape, *, lost_every: int = 0) -> tuple[str, ...]:
    """Return the QEMU arguments that give *shape* its firmware.

    :param lost_every: have smpscan leave its last AP in wait-for-SIPI in every so manieth bring-up, 0 for none; other
        firmware cannot be told.
    :raises RigError: our ROM is missing or not the committed one.
    """
    if shape.firmware == "seabios":
        return ()
    if shape.firmware != "smpscan":
        return ("-bios", shape.firmware)
    options = SmpscanOptions(
        deadline_us=DEADLINE_US[shape.accel] + DEADLINE_VCPU_US[shape.accel] * shape.smp,
        after="reset" if shape.restart == "reset" else "stop",
        leave_out=shape.smp - 1 if lost_every else 0,
        every=lost_every or 1,
        payload="storm" if shape.storm_s else "halt",
        storm_us=round(shape.storm_s * 1e6),
        settle_us=round(shape.settle_s * 1e6),
    )
    return ("-bios", str(find()), *arguments(options))


def find(name: str = "smpscan") -> Path:
    """Return the absolute path of the ROM *name*.

    :raises RigError: reason ``firmware``: there is none, or it is not the one whose checksum is committed.
    """
    rom = next((rom for rom in available() if rom.name == name), None)
    if rom is None:
        raise RigError(f"no firmware {name!r}; looked in {', '.join(map(str, FOLDERS))}", reason="firmware")
    if not rom.intact:
        raise RigError(f"{rom.path} does not have the checksum in {_SUMS}; build it again", reason="firmware")
    return rom.path


def available() -> list[Rom]:
    """Return every ROM that :func:`find` would look at, one a name, by name."""
    roms: dict[str, Rom] = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.bin")):
            roms.setdefault(path.stem, _rom(path))
    return [roms[name] for name in sorted(roms)]


def build(out: Path) -> Path:
    """Assemble smpscan into the file *out* and return it.

    :raises RigError: reason ``firmware``: no source (only a checkout has it), no nasm, or nasm refused it.
    """
    if not SOURCE.is_file():
        raise RigError(f"no source of the firmware at {SOURCE}: only a checkout has it", reason="firmware")
    if shutil.which(_ASSEMBLE[0]) is None:
        raise RigError("building the firmware needs nasm (Debian: apt install nasm)", reason="firmware")
    command = (*_ASSEMBLE, "-o", str(out), str(SOURCE))
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
