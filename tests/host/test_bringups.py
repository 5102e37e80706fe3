from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.errors import RigError
from qstress.host.bringups import BringupCount, settled_bringups
from qstress.host.check import build_under_check
from qstress.model import HammerSpec, Rate


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(120)
async def test_dumps_replay_inits_and_a_query_does_not() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    held = replace(build, hold_read_s=0.001)
    assert (await settled_bringups(held, 100, sandbox=False)).replayed
    status = HammerSpec("query-status", "qmp", Rate(None, "max"))
    assert await settled_bringups(held, 100, hammer=status, sandbox=False) == BringupCount(0, 0, 100)


@pytest.mark.qemu
@pytest.mark.kvm
async def test_a_guest_that_cannot_be_run_is_a_rig_error() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", ("-device", "no-such-device"), pretend_smm=False)
    with pytest.raises(RigError, match="no-such-device"):
        await settled_bringups(build, 3, sandbox=False)
