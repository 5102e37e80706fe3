"""A BIOS image that we know nothing of, given by its path. It may be a SeaBIOS, and is read as if it were one: what its
console and its code show of that is believed, and nothing is made of silence, standing still or resets (pure)."""

from __future__ import annotations

from dataclasses import replace

from qstress.firmware.seabios import SEABIOS

UNKNOWN = replace(
    SEABIOS,
    name="",
    usual=False,
    arguments=lambda shape, lost_every: ("-bios", shape.firmware),
    milestones_known=False,
    asks_boot_cpu=False,
)
