"""The firmware that guests run: which there are, and what depends on them (``base.Firmware``)."""

from __future__ import annotations

from qstress.firmware.base import Firmware
from qstress.firmware.dumps_only import without_console
from qstress.firmware.linux import QBOOT, with_linux
from qstress.firmware.ovmf import OVMF
from qstress.firmware.seabios import SEABIOS
from qstress.firmware.smpscan import SMPSCAN
from qstress.firmware.unknown import UNKNOWN
from qstress.model import Cell, Shape, Tier

__all__ = ["BY_NAME", "OVMF", "SEABIOS", "SMPSCAN", "firmware_named", "firmware_of", "tier_of"]

#: Every firmware that has a name.
BY_NAME: dict[str, Firmware] = {each.name: each for each in (SEABIOS, SMPSCAN, OVMF, QBOOT)}


def firmware_named(word: str, *, with_kernel: bool = False) -> Firmware:
    """Return the firmware that *word* means in a configuration, a name or the path of an image, with a kernel behind it
    or without."""
    firmware = BY_NAME.get(word, UNKNOWN)
    return with_linux(firmware) if with_kernel else firmware


def firmware_of(shape: Shape) -> Firmware:
    """Return the firmware of guests of *shape*, as it is seen there."""
    firmware = firmware_named(shape.firmware, with_kernel=shape.linux is not None)
    return without_console(firmware) if shape.observe == "none" else firmware


def tier_of(cell: Cell) -> Tier:
    """Return how far the numbers of *cell* are from production."""
    build, shape = cell.build, cell.stratum.shape
    as_production = shape.observe == "none" and shape.placement == "none" and shape.restart == "process"
    return max(
        Tier.T4 if build.lost_ap_share else Tier.T0,
        firmware_of(shape).tier,
        Tier.T2 if build.held else Tier.T0,
        Tier.T0 if as_production else Tier.T1,
    )
