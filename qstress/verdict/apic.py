"""``info lapic``: what a vCPU's APIC says of itself."""

from __future__ import annotations

import re

_ICR = re.compile(r"^ICR\s+0x([0-9a-f]{8})", re.MULTILINE)
_START_UP = 6


def sipi_sent(text: str) -> str:
    """Return the interrupt command register from the text of ``info lapic`` if the last interrupt that this CPU sent
    was a SIPI, else ''.

    It survives until the next interrupt is sent, so in a boot CPU that waits for its APs it shows that INIT and SIPI
    have been sent. Bits 8 to 10 are the delivery mode (Intel SDM volume 3, "Interrupt Command Register"); the layout of
    the text is that of QEMU 7.2 (``x86_cpu_dump_local_apic_state``).

    >>> sipi_sent("ICR\\t 0x000c4610 physical edge assert all\\n")
    '000c4610'
    >>> sipi_sent("ICR\\t 0x000c4500 physical edge assert all\\n")
    ''
    """
    found = _ICR.search(text.replace("\r", ""))
    return found[1] if found and int(found[1], 16) >> 8 & 7 == _START_UP else ""
