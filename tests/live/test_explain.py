"""``qstress explain --qmp`` at living guests: it says what is so, and leaves them as they were."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from qstress.guest.live import Guest, live_guest
from qstress.host.explain import explain_live
from qstress.model import Accel
from qstress.trial import inject
from qstress.verdict.explain.picture import Explanation
from tests.live.rig import planned, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]
GAP_S = 0.3


class Kept:
    """A guest that somebody kept, with a QMP socket to look at it."""

    def __init__(self, guest: Guest, socket: Path, changed: list[anyio.Event]) -> None:
        self.guest, self.socket, self._changed = guest, socket, changed

    async def change(self) -> None:
        await self._changed[0].wait()
        self._changed[0] = anyio.Event()

    async def explained(self, *, dump: bool) -> Explanation:
        """Explain it, and see that its run state stays what it was."""
        before = await self.guest.control.execute("query-status", timeout_s=30)
        answer = await explain_live(str(self.socket), dump=dump, gap_s=GAP_S)
        assert await self.guest.control.execute("query-status", timeout_s=30) == before
        return answer


@asynccontextmanager
async def kept(folder: Path, accel: Accel = Accel.TCG, *, smp: int = 2, lost: bool = False) -> AsyncIterator[Kept]:
    socket, changed = folder / "q", [anyio.Event()]
    shape = planned(accel, smp, args=("-qmp", f"unix:{socket},server=on,wait=off")).cell.stratum.shape
    async with live_guest(stock(), shape, env={}, lost_every=int(lost), on_change=lambda: changed[0].set()) as guest:
        yield Kept(guest, socket, changed)


def states(answer: Explanation) -> list[str]:
    return [str(look.activity) for look in answer.vcpus]


@pytest.mark.parametrize("accel", [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)])
async def test_a_lost_ap_is_named_with_dumps_and_not_claimed_without(accel: Accel, tmp_path: Path) -> None:
    async with kept(tmp_path, accel, smp=4, lost=True) as it:
        await inject.expect_one_more(it.guest, timeout_s=30)
        await it.guest.cont()
        while not await inject.is_due(it.guest, quiet_s=0.3):
            await it.change()
        await inject.add_the_lost_one(it.guest, timeout_s=30)

        answer = await it.explained(dump=False)
        assert (str(answer.verdict), str(answer.confidence)) == ("busy", "likely"), answer
        assert [look.index for look in answer.vcpus] == [0, 1, 2, 3]
        assert "--dump" in answer.ask_for[0]

        answer = await it.explained(dump=True)
        assert (str(answer.verdict), str(answer.confidence)) == ("lost-init", "certain"), answer
        assert states(answer) == ["running", "halted", "halted", "reset-vector"]
        assert any("expects 4 CPUs and has 3" in reason for reason in answer.because)
        assert any(reason.startswith("CPU time of the vCPU threads") for reason in answer.because)

        again = await it.explained(dump=True)  # nothing was healed, broken or kept by looking
        assert states(again) == states(answer)
        assert it.guest.console.log.found is None


async def test_a_guest_that_was_never_started(tmp_path: Path) -> None:
    async with kept(tmp_path) as it:
        for dump in (False, True):
            answer = await it.explained(dump=dump)
            assert (str(answer.verdict), str(answer.confidence)) == ("reset-vector", "certain"), answer
        assert states(answer) == ["reset-vector", "reset-vector"]


async def test_a_guest_that_is_up_and_one_that_was_paused_then(tmp_path: Path) -> None:
    async with kept(tmp_path) as it:
        await it.guest.cont()
        while it.guest.console.log.found is None:
            await it.change()
        answer = await it.explained(dump=True)
        assert str(answer.verdict) in ("idle", "busy", "spinning"), answer
        assert states(answer)[1] == "halted"
        await it.guest.control.execute("stop", timeout_s=30)
        answer = await it.explained(dump=False)
        assert str(answer.verdict) == "inconclusive"
        assert "paused" in answer.because[0]


PROXY = """
import select, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print(flush=True)
while True:
    client, _ = listener.accept()
    qemu = socket.socket(socket.AF_UNIX)
    qemu.connect(sys.argv[2])
    other = {client: qemu, qemu: client}
    while all(other[end].sendall(data) is None if (data := end.recv(65536)) else False
              for end in select.select(list(other), [], [])[0]):
        pass
    client.close()
    qemu.close()
"""


async def test_behind_a_proxy_the_thread_times_are_still_a_witness(tmp_path: Path) -> None:
    async with kept(tmp_path) as it:
        await it.guest.cont()
        while it.guest.console.log.found is None:
            await it.change()
        direct, it.socket = it.socket, tmp_path / "proxy"
        proxy = subprocess.Popen([sys.executable, "-c", PROXY, it.socket, direct], stdout=subprocess.PIPE)
        try:
            assert proxy.stdout
            proxy.stdout.readline()
            for dump in (False, True):
                answer = await it.explained(dump=dump)
                assert any(reason.startswith("CPU time of the vCPU threads in") for reason in answer.because), answer
        finally:
            proxy.kill()
            proxy.communicate()
