"""What the facts of a outcome exchange say by themselves."""

from __future__ import annotations

import pytest

from qstress.fuzz.exchange import ExchangeOutcome, GuestExit, Stall
from qstress.fuzz.ops import To


@pytest.mark.parametrize(
    ("in_band", "out_of_band", "busy", "endless", "picture"),
    [
        (True, True, 0.0, False, "only this monitor is silent"),
        (False, True, 0.0, False, "no monitor answers in band"),
        (False, False, 0.9, False, "the main loop is busy"),
        (False, False, 0.1, False, "the main loop is blocked"),
        (True, True, 0.0, True, "it talks without end"),
    ],
)
def test_a_stall_has_a_picture(in_band: bool, out_of_band: bool, busy: float, endless: bool, picture: str) -> None:
    assert Stall(None, To.QMP, 10.0, in_band, out_of_band, busy, endless).picture == picture


def test_a_guest_is_over_when_it_ended_stalled_hung_up_or_lingers() -> None:
    stall = Stall(None, To.QMP, 10.0, True, True, 0.0)
    assert not ExchangeOutcome(0.0, ()).over
    assert ExchangeOutcome(0.0, (), ended=GuestExit(0, "")).over
    assert ExchangeOutcome(0.0, (), stall=stall).over
    assert ExchangeOutcome(0.0, (), hung_up=True).over
    assert ExchangeOutcome(0.0, (), lingers=True).over
