from __future__ import annotations

import pytest

from qstress.verdict.apic import sipi_sent

LAPIC = "dumping local APIC state for CPU 0 \r\n\r\nSPIV\t 0x000001ff\r\nICR\t 0x{icr} physical\r\nICR2\t 0x0\r\n"


@pytest.mark.parametrize("icr", ["000c4610", "00004610", "000c4608"])
def test_a_sipi_is_seen_whatever_its_vector_and_target(icr: str) -> None:
    assert sipi_sent(LAPIC.format(icr=icr)) == icr


@pytest.mark.parametrize("icr", ["00000000", "000c4500", "00000040", "000c0710"])
def test_no_other_interrupt_is_one(icr: str) -> None:
    assert sipi_sent(LAPIC.format(icr=icr)) == ""


@pytest.mark.parametrize("text", ["", "unknown command: 'info lapic'", "ICR\t none", "ICR2\t 0x000c4610"])
def test_anything_else_says_nothing(text: str) -> None:
    assert sipi_sent(text) == ""
