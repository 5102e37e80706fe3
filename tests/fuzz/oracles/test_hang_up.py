"""A monitor that QEMU hangs up on."""

from __future__ import annotations

from qstress.fuzz.oracles.hang_up import HangUpOracle
from tests.fuzz.oracles.samples import Judged, send


def test_a_monitor_that_is_hung_up_on_is_a_fault() -> None:
    (fault,) = Judged(HangUpOracle).faults([send("stop")], [None], hung_up=True)
    assert (fault.kind, fault.title) == ("hung-up", "QEMU hung up on a monitor at stop and lives")
    assert Judged(HangUpOracle).faults([send("stop")], [None]) == []
