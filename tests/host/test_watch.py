"""The watch with scripted monitors and looks; at living guests in tests/live/test_watch.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.host import watch
from qstress.host.explain import qmp_monitor
from qstress.host.watch import WatchedGuest, Watcher, all_told, changes, settled, watch_exit_code
from qstress.model import Accel, Confidence
from qstress.observe.guests import LocalGuest
from qstress.verdict.outside import GuestLook, GuestState, Seen, Spell, ThreadLook, VcpuWait
from tests.host.test_explain import BOOT_CPU_EIP, LOST, qemu
from tests.verdict.explain_cases.bringup import LOOP
from tests.verdict.explain_cases.dumps import monitor, parked, waiting

TID = os.getpid()
GUEST = LocalGuest(os.getpid(), 1, "web", Accel.KVM, {0: TID, 1: TID, 2: TID})
SUSPECT = Seen(GuestState.SUSPECT, spun_s=3.0, because=("CPU#0 has spun for 3.0 s", "CPU#1, CPU#2 slept"))


def look(at_s: float, wait: VcpuWait = VcpuWait.NOT_TOLD) -> GuestLook:
    boot_cpu = ThreadLook(at_s, 0.0, 0, VcpuWait.NOT_WAITING)
    return GuestLook(at_s, {0: boot_cpu, 1: ThreadLook(0.0, 0.0, 5, wait), 2: ThreadLook(0.0, 0.0, 5, wait)})


SPELL = Spell.beginning(look(0.0)).then(look(2.0)).then(look(4.0))


def exits(**by_index: int) -> list[Mapping[str, object]]:
    paths = {f"CPU{i}": f"/machine/unattached/device[{i}]" for i in range(3)}
    return [{"qom-path": paths[name], "stats": [{"name": "exits", "value": n}]} for name, n in by_index.items()]


async def ask(
    folder: Path, guest: LocalGuest = GUEST, *, version: int = 10, **answers: object
) -> tuple[Seen, list[str]]:
    """Settle SUSPECT with a QEMU that answers so; return that, and what it was asked."""
    answers = {"query_version": {"qemu": {"major": version}}, **answers}
    hmp = answers.pop("hmp", None)
    async with (
        qemu(folder, "running", hmp, **answers) as (path, script),  # type: ignore[arg-type]
        qmp_monitor(path) as (control, peer),
    ):
        return await settled(control, peer, guest, SPELL, SUSPECT), script.heard


async def test_exits_tell_an_ap_that_never_ran(tmp_path: Path) -> None:
    seen, heard = await ask(tmp_path, query_stats=exits(CPU0=99, CPU1=7, CPU2=0))
    assert (seen.state, seen.confidence, seen.missing) == (GuestState.HUNG, Confidence.CERTAIN, (2,))
    assert set(heard) <= {"qmp_capabilities", "query-cpus-fast", "query-version", "query-stats"}


async def test_exits_of_none_are_likely_and_of_all_are_well(tmp_path: Path) -> None:
    seen, _ = await ask(tmp_path, query_stats=exits(CPU0=99, CPU1=0, CPU2=0))
    assert (seen.state, seen.confidence, seen.missing) == (GuestState.HUNG, Confidence.LIKELY, (1, 2))
    (tmp_path / "q").unlink()
    seen, _ = await ask(tmp_path, query_stats=exits(CPU0=99, CPU1=1, CPU2=1))
    assert seen.state is GuestState.OK


@pytest.mark.parametrize(("guest", "version"), [(GUEST, 7), (replace(GUEST, resumed=True), 10)])
async def test_where_exits_tell_nothing_it_stays_a_suspicion(tmp_path: Path, guest: LocalGuest, version: int) -> None:
    """QEMU 7.2 would ask the vCPU threads for them; a guest that came by migration brought APs that ran elsewhere."""
    seen, heard = await ask(tmp_path, guest, version=version, query_stats=exits(CPU0=99, CPU1=0, CPU2=0))
    assert (seen.state, bool(seen.ask_for)) == (GuestState.SUSPECT, True)
    assert "query-stats" not in heard


async def test_registers_are_read_under_tcg_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_GAP_S", 0.01)
    guest = replace(GUEST, accel=Accel.TCG)
    code = "".join(f"{BOOT_CPU_EIP - 78 + i:016x}: 0x{b:02x}\n" for i, b in enumerate(LOOP))
    seen, _ = await ask(tmp_path, guest, hmp={"info": LOST, "xp": code}, query_stats=[])
    assert (seen.state, seen.missing) == (GuestState.HUNG, (2,))
    (tmp_path / "q").unlink()
    booted = monitor(waiting(BOOT_CPU_EIP, expects=3), parked(1), parked(2))
    seen, _ = await ask(tmp_path, guest, hmp={"info": booted, "xp": code}, query_stats=[])
    assert seen.state is GuestState.OK


async def test_a_monitor_of_that_name_that_is_another_guests(tmp_path: Path) -> None:
    seen, _ = await ask(tmp_path, replace(GUEST, threads={0: 1, 1: 1, 2: 1}))
    assert seen.state is GuestState.SUSPECT
    assert "another guest's" in seen.because[-1]


class Looks:
    """Looks at the guest, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: GuestLook | None) -> None:
        self.left = list(looks)
        monkeypatch.setattr(watch, "look_at", lambda _guest: self.left.pop(0))


async def test_a_suspect_is_asked_once_and_says_why_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    Looks(monkeypatch, *(look(float(t)) for t in range(6)))
    asked: list[int] = []

    async def none_there(*_arguments: object) -> Seen:
        asked.append(1)
        raise RigError("libvirt: failed to connect")

    monkeypatch.setattr(watch, "settled", none_there)
    watcher = Watcher(uri="qemu:///session", find=lambda: [GUEST])
    for _ in range(6):
        (seen,) = await watcher.look()
    assert (seen.seen.state, len(asked)) == (GuestState.SUSPECT, 1)
    assert "failed to connect" in seen.seen.because[-1]
    assert watch_exit_code([seen]) == 5
    watcher.find = lambda: []
    assert await watcher.look() == ()
    assert watcher._settled == {}, "what was said of a guest goes with it"


async def test_a_guest_that_ends_or_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    Looks(monkeypatch, None)
    assert await Watcher(find=lambda: [GUEST]).look() == ()
    (seen,) = await Watcher(find=lambda: [replace(GUEST, not_judged="a microvm")]).look()
    assert (seen.seen.state, seen.seen.because) == (GuestState.UNKNOWN, ("a microvm",))
    (seen,) = await Watcher(find=lambda: [replace(GUEST, threads={})]).look()
    assert "debug-threads=on" in seen.seen.ask_for[0]


async def test_a_pid_that_is_used_again_is_another_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    Looks(monkeypatch, *(look(float(t), VcpuWait.FOR_INIT) for t in range(8)))
    guests = [GUEST, GUEST, GUEST, replace(GUEST, started=2)]
    watcher = Watcher(find=lambda: [guests[0]])
    states = []
    while guests:
        (seen,) = await watcher.look()
        states.append(seen.seen.state)
        guests.pop(0)
    assert states == [GuestState.OK, GuestState.BOOTING, GuestState.BOOTING, GuestState.OK]


async def test_sockets_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no QMP socket"):
        await Watcher(sockets=[str(tmp_path / "none")]).connect()


def test_what_is_news_what_is_shown_and_what_it_ends_with() -> None:
    hung = WatchedGuest(GUEST, Seen(GuestState.HUNG, Confidence.CERTAIN, (2,), 1.5, ("why",)))
    well, boots = WatchedGuest(GUEST, Seen(GuestState.OK)), WatchedGuest(GUEST, Seen(GuestState.BOOTING, missing=(2,)))
    news, before = changes({}, [well])
    assert news == []
    assert changes(before, [boots])[0] == []
    news, before = changes(before, [hung])
    assert news == [hung]
    assert changes(before, [hung])[0] == []
    assert changes(before, [well])[0] == [well]
    assert not all_told([boots], 60.0)
    assert not all_told([hung], 0.5)
    assert all_told([hung, well], 2.0)
    assert [watch_exit_code(seen) for seen in ([], [well, boots], [well, hung])] == [0, 0, 1]
    assert hung.text() == f"web  pid {GUEST.pid}  kvm, 3 vCPUs  hung (certain): CPU#2 never ran\n  - why"
    assert hung.document() == {
        "pid": GUEST.pid, "name": "web", "accel": "kvm", "smp": 3, "state": "hung", "confidence": "certain",
        "missing": [2], "spun_s": 1.5, "because": ["why"], "ask_for": [],
    }  # fmt: skip
