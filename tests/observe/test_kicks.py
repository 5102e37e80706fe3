from __future__ import annotations

import os
from typing import Any, cast

import pytest

from qstress.errors import GuestError
from qstress.guest.live import Guest
from qstress.interposer.log import WindowLog
from qstress.interposer.windows import HEADER, MAGIC
from qstress.model import StormCount
from qstress.observe.kicks import KickLook, kicks_between, kicks_so_far


class Replying:
    """A guest whose control monitor gives the same answer each time, or the same error."""

    def __init__(self, answer: Any) -> None:
        self.control = self
        self.answer = answer

    async def execute(self, command: str, arguments: Any, *, timeout_s: float) -> Any:
        assert (command, arguments["target"]) == ("query-stats", "vcpu")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def vcpu(exits: int) -> dict[str, Any]:
    return {"provider": "kvm", "qom-path": "/x", "stats": [{"name": "exits", "value": exits}]}


@pytest.mark.parametrize(
    ("answer", "exits"), [([vcpu(3), vcpu(40)], 43), ([], None), (GuestError("no such command"), None)]
)
async def test_exits_are_summed_over_vcpus_where_qemu_tells_them(answer: Any, exits: int | None) -> None:
    with WindowLog({}) as log:
        seen = await kicks_so_far(cast(Guest, Replying(answer)), log, timeout_s=1)
    assert (seen.write_backs, seen.exits) == (None, exits)


async def test_write_backs_are_those_at_run_time() -> None:
    with WindowLog({"LD_PRELOAD": "x"}) as log:
        os.pwrite(log._fd, HEADER.pack(MAGIC, 7, 6, 5, 4, 0, 0, 0, 0, 0), 0)
        seen = await kicks_so_far(cast(Guest, Replying([])), log, timeout_s=1)
    assert seen.write_backs == 7


def test_two_looks_and_a_churn_make_a_count() -> None:
    first, second = KickLook(10.0, 100, 1000), KickLook(12.5, 350, 9000)
    churn = StormCount(2.4, moves=2400, migrations=1900)
    assert kicks_between(first, second, churn) == StormCount(2.5, 2400, 1900, 250, 8000)
    assert kicks_between(first, KickLook(12.5, 350, None)) == StormCount(2.5, 0, None, 250, None)
