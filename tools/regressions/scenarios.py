"""The regressions: each runs one guest and notes what became of it, as often as it is told to go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from qstress.guest.live import Guest
from tools.regressions.lab import HUNG, LOST, MONITOR_S, OK, REPLAYED, Heard, Lab, assembled, loaded, saved

#: Told an outcome; says whether the same guest is to go on.
Note = Callable[[str], bool]
Scenario = Callable[[Lab, Note], Awaitable[None]]

#: Somewhere to save snapshots to, gone with QEMU.
_DISK = ("-drive", "if=none,file=null-co://,format=raw,snapshot=on")
#: So many rounds without a loss are called going on.
_ROUNDS = 20
_Q35 = "q35,smm=on"


async def source_goes_on(lab: Lab, note: Note) -> None:
    """Stopped, migrated to nowhere, resumed as the source."""
    async with lab.running() as (guest, heard):
        while True:
            await lab.some_time()
            await saved(guest, "cat > /dev/null")
            await guest.control.execute("cont", timeout_s=MONITOR_S)
            if not note(await heard.more(_ROUNDS, lab.patience_s)):
                return


async def destination_goes_on(lab: Lab, note: Note) -> None:
    """Stopped, migrated to a file, resumed by another QEMU of the same build."""
    stream = lab.scratch / "stream"
    async with lab.running() as (guest, _):
        await lab.some_time()
        await saved(guest, f"cat > {stream}")
    async with lab.guest(args=("-incoming", f"exec:cat {stream}")) as (guest, heard):
        await loaded(guest)
        await guest.cont()
        note(await heard.more(_ROUNDS, lab.patience_s))


async def savevm(lab: Lab, note: Note) -> None:
    """A snapshot is saved, and the guest goes on."""
    await _snapshots(lab, note, "savevm qstress")


async def loadvm(lab: Lab, note: Note) -> None:
    """A snapshot is loaded, and the guest goes on from there."""
    await _snapshots(lab, note, "loadvm qstress")


async def _snapshots(lab: Lab, note: Note, command: str) -> None:
    async with lab.running(args=_DISK) as (guest, heard):
        if command.startswith("loadvm"):
            await guest.control.hmp("savevm qstress", timeout_s=MONITOR_S)
            if await heard.more(_ROUNDS, lab.patience_s) != OK:
                return  # the saving broke it: another question
        while True:
            await lab.some_time()
            await guest.control.hmp(command, timeout_s=MONITOR_S)
            if not note(await heard.more(_ROUNDS, lab.patience_s)):
                return


async def reset(lab: Lab, note: Note) -> None:
    """Reset in the middle of a round, while nothing else disturbs it; its CPUs come up anew."""
    async with lab.running() as (guest, heard):
        while True:
            await lab.some_time()
            begun = heard.begun
            await guest.control.execute("system_reset", timeout_s=MONITOR_S)
            fate = await heard.more(_ROUNDS, lab.patience_s)
            if not note(fate if heard.begun > begun or fate != OK else "not reset"):
                return


async def hot_plug(lab: Lab, note: Note) -> None:
    """Two CPUs are plugged into a guest of two that is hammered; the next INIT and SIPI wake them."""
    async with lab.running(args=("-smp", "2,maxcpus=4"), hammered=True) as (guest, heard):
        places = await guest.control.execute("query-hotpluggable-cpus", timeout_s=MONITOR_S)
        assert isinstance(places, list)
        for place in [place for place in places if "qom-path" not in place]:
            await guest.control.execute("device_add", {"driver": place["type"], **place["props"]}, timeout_s=MONITOR_S)
        fate = await heard.more(_ROUNDS, lab.patience_s)
        if fate == OK:
            with anyio.move_on_after(lab.patience_s) as scope:
                while (await guest.control.hmp("xp /4xb 0x20000", timeout_s=MONITOR_S)).count("0x01") < 4:
                    pass
            fate = HUNG if scope.cancelled_caught else OK
        note(fate)


def under_fire(machine: str, *, hammered: bool = True) -> Scenario:
    """Return the scenario of a *machine* whose monitor is polled while its CPUs come up, 50 rounds each."""

    async def scenario(lab: Lab, note: Note) -> None:
        async with lab.guest(machine, hammered=hammered) as (guest, heard):
            await guest.cont()
            while note(await heard.more(50, lab.patience_s)):
                pass

    return scenario


def boots(machine: str, *args: str) -> Scenario:
    """Return the scenario of one hammered boot of SeaBIOS on *machine* with *args*."""

    async def scenario(lab: Lab, note: Note) -> None:
        async with lab.guest(machine, rom="seabios", args=args, hammered=True) as (guest, _):
            await guest.cont()
            note(await _booted(guest, lab.patience_s))

    return scenario


async def _booted(guest: Guest, patience_s: float) -> str:
    log = guest.console.log
    with anyio.move_on_after(MONITOR_S):
        while log.found is None and not log.restart_signs:
            if guest.process.returncode is not None:
                return "ended"
            if not await guest.console.output(patience_s):
                break
    return REPLAYED if log.restart_signs else HUNG if log.found is None else OK


async def latched(lab: Lab, note: Note) -> None:
    """An INIT is sent to an AP in SMM, and the monitor polled while it is latched; a note a round."""
    async with lab.guest(_Q35, 2, rom=str(assembled(lab.scratch)), hammered=True) as (guest, heard):
        await guest.cont()
        while note(await _latched_round(lab, heard)):
            pass


async def latched_migrated(lab: Lab, note: Note) -> None:
    """The same guest is migrated, nearly always while the INIT is latched, and goes on elsewhere."""
    rom, stream = str(assembled(lab.scratch)), lab.scratch / "stream"
    async with lab.guest(_Q35, 2, rom=rom) as (guest, heard):
        await guest.cont()
        await heard.more(2, lab.patience_s)
        await lab.some_time()
        await saved(guest, f"cat > {stream}")
    async with lab.guest(_Q35, 2, rom=rom, args=("-incoming", f"exec:cat {stream}")) as (guest, heard):
        await loaded(guest)
        await guest.cont()
        note(await _latched_round(lab, heard))


async def _latched_round(lab: Lab, heard: Heard) -> str:
    before = heard.without_smm
    fate = await heard.more(1, lab.patience_s)
    return "no SMM" if heard.without_smm > before else LOST if fate == HUNG else fate


SCENARIOS: dict[str, Scenario] = {
    "migrate-source": source_goes_on,
    "migrate-destination": destination_goes_on,
    "savevm": savevm,
    "loadvm": loadvm,
    "reset": reset,
    "hot-plug": hot_plug,
    "irqchip-on": under_fire("pc"),
    "irqchip-split": under_fire("q35,kernel-irqchip=split"),
    "irqchip-off": under_fire("pc,kernel-irqchip=off", hammered=False),  # 7.2's monitor does not answer there
    "boot-q35-smm": boots(_Q35),
    "boot-no-reboot": boots("pc", "-no-reboot"),
    "init-latched": latched,
    "init-latched-migrated": latched_migrated,
}
