from __future__ import annotations

from qstress.firmware import SEABIOS, firmware_of
from qstress.firmware.unknown import UNKNOWN
from qstress.model import Tier
from tests.samples import shape


def test_an_image_is_given_by_its_path_and_nothing_is_made_of_its_silence() -> None:
    of_a_path = shape(firmware="/roms/other.bin")
    kind = firmware_of(of_a_path)
    assert kind is UNKNOWN
    assert kind.arguments(of_a_path, 0) == ("-bios", "/roms/other.bin")
    assert kind.label(of_a_path) == "/roms/other.bin"
    assert (kind.milestones_known, kind.asks_boot_cpu, kind.tier) == (False, False, Tier.T0)


def test_it_is_read_as_if_it_were_a_seabios() -> None:
    log = UNKNOWN.reader(shape(firmware="/roms/other.bin"), None)
    log.feed(b"SeaBIOS (version 2)\nFound 2 cpu(s) max supported 2 cpu(s)\n")
    assert (log.found, log.clean) == (2, True)
    assert UNKNOWN.wait is SEABIOS.wait
