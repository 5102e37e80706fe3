"""Resets in place lose as many INITs as fresh processes do: what makes trials in place stand for all others.

It takes one to three minutes a case on two idle cores, so it runs with ``TEST_LONG=1`` only.
"""

from __future__ import annotations

import os

import pytest

from tests.bench_restart import smpscan

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.kvm,
    pytest.mark.timeout(900),
    pytest.mark.skipif("TEST_LONG" not in os.environ, reason="takes minutes: set TEST_LONG=1"),
]


@pytest.mark.parametrize(("placement", "rounds"), [("none", 24), ("bsp-alone", 4)])
async def test_smpscan_loses_as_many_in_place_as_in_fresh_processes(placement: str, rounds: int) -> None:
    seen = await smpscan(placement, rounds)
    assert seen.ratio.lower >= 0.5, seen
    assert seen.ratio.upper <= 2.0, seen
