"""The injected fault through a scripted monitor; on living guests: tests/live/test_inject.py."""

from __future__ import annotations

import pytest

from qstress.errors import RigError
from qstress.guest.qmp import CommandRefused, MonitorClosed
from qstress.trial.inject import MOST_LOOKS, add_the_lost_one, expect_one_more, is_due
from tests.samples import shape
from tests.trial.fakes import Stage, staged
from tests.trial.playbook import BANNER, CHECKIN, PCI
from tests.trial.test_boot_cpu import LOOP, Monitor, registers

FREE = {"type": "qemu64-x86_64-cpu", "props": {"socket-id": 3}, "vcpus-count": 1}
TAKEN = {**FREE, "props": {"socket-id": 0}, "qom-path": "/machine/unattached/device[0]"}


def booted(stage: Stage, checkins: int, eip: int = LOOP) -> None:
    """Have the guest come to so many check-ins, its boot CPU at *eip*."""
    stage.prints(BANNER.data, PCI.data, *[CHECKIN.data] * checkins)
    stage.monitor.answers |= {"info": registers(eip), "xp": Monitor(eip, found=checkins + 1).answer}


async def test_the_cmos_is_told_of_all_vcpus() -> None:
    async with staged(shape(4)) as stage:
        await expect_one_more(stage.guest, timeout_s=1.0)
        assert stage.monitor.asked == ["o /b 0x70 0x5f", "o /b 0x71 3"]
        stage.monitor.answers["o"] = CommandRefused("o: no")
        with pytest.raises(RigError, match="cannot prepare the injected fault") as raised:
            await expect_one_more(stage.guest, timeout_s=1.0)
        assert raised.value.reason == "inject"


async def test_it_is_due_once_the_boot_cpu_waits_and_all_that_were_woken_have_come() -> None:
    async with staged(shape(4)) as stage:
        booted(stage, 2)
        assert await is_due(stage.guest, quiet_s=0.001)


@pytest.mark.parametrize("checkins", [0, 1])
async def test_before_that_nobody_is_asked(checkins: int) -> None:
    async with staged(shape(4)) as stage:
        booted(stage, checkins)
        assert not await is_due(stage.guest, quiet_s=0.001)
        assert stage.monitor.asked == []


async def test_one_that_does_not_wait_is_asked_again_and_then_let_be() -> None:
    async with staged(shape(4)) as stage:
        booted(stage, 2, LOOP + 0x1000)
        assert not await is_due(stage.guest, quiet_s=0.0)
        assert stage.monitor.asked.count("info registers") == MOST_LOOKS


async def test_output_ends_the_asking_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(shape(4)) as stage:
        booted(stage, 2)

        async def speaks(timeout_s: float) -> bool:
            return True

        monkeypatch.setattr(stage.guest.console, "output", speaks)
        assert not await is_due(stage.guest, quiet_s=60.0)
        assert stage.monitor.asked == []


async def test_one_that_ended_is_not_due() -> None:
    async with staged(shape(4)) as stage:
        booted(stage, 2)
        stage.monitor.answers["info"] = MonitorClosed("gone")
        assert not await is_due(stage.guest, quiet_s=0.0)


async def test_the_lost_one_is_plugged_in_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged: list[object] = []
    async with staged(shape(4)) as stage:
        stage.monitor.answers["query-hotpluggable-cpus"] = [TAKEN, FREE]
        execute = stage.monitor.execute

        async def remembering(command: str, arguments: object = None, **more: object) -> object:
            plugged.append((command, arguments))
            return await execute(command, arguments, timeout_s=1.0)

        monkeypatch.setattr(stage.monitor, "execute", remembering)
        await add_the_lost_one(stage.guest, timeout_s=1.0)
    what = {"driver": FREE["type"], "id": "qstress-lost-ap", "socket-id": 3}
    assert plugged == [("query-hotpluggable-cpus", None), ("device_add", what)]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"query-hotpluggable-cpus": [TAKEN]}, "no place for another vCPU"),
        ({"query-hotpluggable-cpus": [FREE], "device_add": CommandRefused("device_add: no")}, "device_add: no"),
        ({"query-hotpluggable-cpus": CommandRefused("not supported")}, "not supported"),
    ],
)
async def test_a_machine_that_has_none_or_refuses_is_a_rig_failure(answers: dict[str, object], words: str) -> None:
    async with staged(shape(4)) as stage:
        stage.monitor.answers |= answers
        with pytest.raises(RigError, match=words) as raised:
            await add_the_lost_one(stage.guest, timeout_s=1.0)
        assert raised.value.reason == "inject"
