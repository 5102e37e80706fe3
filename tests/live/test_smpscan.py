"""smpscan on real QEMU: healthy guests of every size, resets in place, the left-out AP, both races, and a replayed AP
made by hand under TCG, where the race itself does not exist."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from qstress.errors import RigError
from qstress.firmware.rom import find_rom
from qstress.firmware.smpscan import SmpscanOptions, option_arguments
from qstress.firmware.smpscan_console import RoundEnd, ScanRound, SmpscanLog
from qstress.guest.live import Guest, live_guest
from qstress.interposer.build import environment
from qstress.model import Accel, Build, Shape
from qstress.registers import parse_text
from tests.firmware.locations import CpuLocation, cpu_location
from tests.live.gdb import Gdb
from tests.live.rig import pretending, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

ACCELS = [
    pytest.param(Accel.TCG, id="tcg"),
    pytest.param(Accel.KVM, id="kvm", marks=pytest.mark.kvm),
]
RESET = SmpscanOptions(after="reset", missing="reset")
PATIENT_US = 10_000_000  # for tests in which nothing is missing
BUSY_US = 400_000  # for tests in which something is: longer than a busy host keeps an AP from running


class Scan:
    """A running smpscan: its log, and every bring-up as it was told last, in order."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.log = SmpscanLog()
        self.told: dict[tuple[int, int], list[ScanRound]] = {}
        self._read = 0

    async def until(self, done: Callable[[], bool]) -> None:
        """Follow the console until *done*."""
        while True:
            self._follow()
            if done():
                return
            assert self.guest.process.returncode is None, self.guest.process.said()
            await self.guest.console.output(0.01)

    async def bringups(self, count: int) -> list[ScanRound]:
        """Wait for *count* bring-ups, return them as they were told last."""
        await self.until(lambda: len(self.trials()) >= count)
        return self.trials()[:count]

    def trials(self) -> list[ScanRound]:
        return [told[-1] for (_, round_), told in self.told.items() if round_ == 0]

    async def located(self, expected: list[CpuLocation]) -> None:
        """Dump all registers until each CPU is where it is expected (an AP has a few steps to go after checking in)."""
        seen: list[CpuLocation | None] = []
        while seen != expected:
            dump = await self.guest.control.hmp("info registers -a", timeout_s=60)
            seen = [cpu_location(vcpu) for vcpu in parse_text(dump).vcpus]

    def _follow(self) -> None:
        text = self.guest.console.text
        for bringup in self.log.feed(text[self._read :]):
            self.told.setdefault((bringup.number, bringup.round), []).append(bringup)
        self._read = len(text)


async def scan(
    accel: Accel,
    smp: int,
    options: SmpscanOptions,
    follow: Callable[[Scan], object],
    *,
    machine: str = "pc",
    args: tuple[str, ...] = (),
    build: Build | None = None,
) -> Scan:
    """Run smpscan while *follow* (an async function) watches; return what it said."""
    build = build or stock()
    shape = Shape(smp, machine, accel, 32 << 20, str(find_rom("smpscan")), (*option_arguments(options), *args))
    async with live_guest(build, shape, env=environment(build), on_change=lambda: None) as guest:
        running = Scan(guest)
        await guest.cont()
        await follow(running)  # type: ignore[misc]
    return running


@pytest.mark.parametrize("smp", [1, 2, 4, 64])
@pytest.mark.parametrize("accel", ACCELS)
async def test_a_healthy_guest_comes_up_and_stops(accel: Accel, smp: int) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(1)
        await running.located([CpuLocation.STOPPED, *[CpuLocation.CHECKED_IN] * (smp - 1)])

    running = await scan(accel, smp, SmpscanOptions(deadline_us=PATIENT_US), follow)
    assert running.trials() == [ScanRound(1, end=RoundEnd.ALL_IN)]
    assert (running.log.cpus, running.log.ids, running.log.started) == (smp, smp, 1)
    assert (running.log.tsc_khz or 0) > 100_000
    assert running.guest.resets == 0


@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("accel", ACCELS)
async def test_two_hundred_bringups_by_reset_in_place(accel: Accel, machine: str) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(200)

    options = SmpscanOptions(deadline_us=PATIENT_US, after="reset")
    running = await scan(accel, 4, options, follow, machine=machine)
    assert all(bringup.ok for bringup in running.trials())
    assert [bringup.number for bringup in running.trials()][:200] == list(range(1, 201))
    assert running.guest.console.text.count(b"smpscan") == 1  # only the first bring-up asks for anything


@pytest.mark.parametrize("smp", [255, 288])
@pytest.mark.parametrize("accel", ACCELS)
async def test_many_cpus_and_the_last_one_left_out(accel: Accel, smp: int) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(4)

    args = ("-device", "intel-iommu,intremap=on,eim=on") if smp > 255 and accel is Accel.KVM else ()
    machine = "q35,kernel-irqchip=split" if args else "q35"
    options = SmpscanOptions(deadline_us=2_000_000, after="reset", missing="reset", leave_out=smp - 1, every=4)
    try:
        running = await scan(accel, smp, options, follow, machine=machine, args=args)
    except* RigError as refused:
        if smp <= 255:
            raise
        pytest.skip(f"this QEMU has no {smp} CPUs here: {refused.exceptions[0]}")
    assert [bringup.end for bringup in running.trials()[:4]] == [*[RoundEnd.ALL_IN] * 3, RoundEnd.MISSING]
    assert running.trials()[3] == ScanRound(4, end=RoundEnd.MISSING, lost=1, missing=(smp - 1,))


@pytest.mark.parametrize("accel", ACCELS)
async def test_the_left_out_ap_is_found_each_time_and_no_other(accel: Accel) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(30)

    options = SmpscanOptions(deadline_us=BUSY_US, after="reset", missing="reset", leave_out=2, every=3)
    running = await scan(accel, 4, options, follow)
    for bringup in running.trials()[:30]:
        left_out = ScanRound(bringup.number, end=RoundEnd.MISSING, lost=1, missing=(2,))
        assert bringup == (ScanRound(bringup.number, end=RoundEnd.ALL_IN) if bringup.number % 3 else left_out)


@pytest.mark.parametrize("accel", ACCELS)
async def test_the_left_out_ap_looks_lost_while_the_boot_cpu_waits_for_it(accel: Accel) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(1)
        await running.located(
            [CpuLocation.WAITING, CpuLocation.CHECKED_IN, CpuLocation.CHECKED_IN, CpuLocation.RESET_VECTOR]
        )

    running = await scan(accel, 4, SmpscanOptions(deadline_us=BUSY_US, leave_out=3), follow)
    assert running.trials() == [ScanRound(1, end=RoundEnd.MISSING, lost=1, missing=(3,))]
    assert running.log.started == 1


@pytest.mark.parametrize("accel", ACCELS)
async def test_ids_without_a_cpu_are_not_waited_for(accel: Accel) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(2)

    options = SmpscanOptions(deadline_us=BUSY_US, after="reset", leave_out=5, every=2)
    args = ("-smp", "6,sockets=2,cores=3")  # APIC ids 0, 1, 2, 4, 5, 6
    running = await scan(accel, 6, options, follow, args=args)
    assert (running.log.cpus, running.log.ids) == (6, 7)
    assert running.trials() == [
        ScanRound(1, end=RoundEnd.ALL_IN),
        ScanRound(2, end=RoundEnd.MISSING, lost=1, missing=(3, 5)),
    ]


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_bringup_settles_first(accel: Accel) -> None:
    settled: list[float] = []

    async def follow(running: Scan) -> None:
        await running.bringups(1)
        began_s = time.monotonic()
        await running.bringups(21)
        settled.append(time.monotonic() - began_s)

    options = SmpscanOptions(
        deadline_us=BUSY_US, after="reset", missing="reset", leave_out=3, every=8, settle_us=10_000
    )
    running = await scan(accel, 4, options, follow)
    assert settled[0] >= 20 * 0.01  # the ROM's clock is never too fast
    assert [bringup.number for bringup in running.trials()[:21] if bringup.missing == (3,)] == [8, 16]


async def test_those_that_are_late_are_not_lost() -> None:
    def late(running: Scan) -> list[ScanRound]:
        return [bringup for bringup in running.trials() if bringup.late]

    async def follow(running: Scan) -> None:
        await running.until(lambda: bool(late(running)))

    running = await scan(Accel.TCG, 4, SmpscanOptions(deadline_us=0, after="reset"), follow)
    assert [told.end for told in running.told[late(running)[0].number, 0]] == [RoundEnd.MISSING, RoundEnd.ALL_IN]
    assert RoundEnd.MISSING not in {bringup.end for bringup in running.trials()[:-1]}


@pytest.mark.parametrize("accel", ACCELS)
async def test_rounds_without_a_reset(accel: Accel) -> None:
    async def follow(running: Scan) -> None:
        await running.until(lambda: (2, 5) in running.told)

    options = SmpscanOptions(deadline_us=PATIENT_US, after="reset", rounds=5)
    running = await scan(accel, 4, options, follow)
    assert list(running.told)[:12] == [(number, round_) for number in (1, 2) for round_ in range(6)]
    assert all(told[-1].ok for told in running.told.values())


@pytest.mark.parametrize("smp", [2, 64])
@pytest.mark.parametrize("accel", ACCELS)
async def test_a_storm_goes_on_until_its_time_is_over(accel: Accel, smp: int) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(1)
        await running.located([CpuLocation.STORMING] * smp)
        sent = ""
        while not re.search(r"ICR\s+0x00000040", sent):  # until that AP has passed an interrupt on
            await running.guest.control.hmp(f"info registers {smp - 1}", timeout_s=60)  # info lapic N of 7.2 does not
            sent = await running.guest.control.hmp(f"info lapic {smp - 1}", timeout_s=60)
        await running.guest.control.execute("inject-nmi", timeout_s=60)  # kicks all, and is not delivered
        pins = re.findall(r"pin (\d+) .*vec=(\d+) .*fixed", await running.guest.control.hmp("info pic", timeout_s=60))
        if accel is Accel.TCG:  # with KVM's own IOAPIC QEMU 7.2 does not show it
            assert [(int(pin), int(vector)) for pin, vector in pins] == [(pin, 0x41 + pin) for pin in range(24)]

    running = await scan(accel, smp, SmpscanOptions(deadline_us=PATIENT_US, payload="storm"), follow)
    assert running.trials() == [ScanRound(1, end=RoundEnd.ALL_IN)]
    assert running.guest.resets == 0


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_reset_ends_a_storm_and_bringups_go_on(accel: Accel) -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(20)

    options = SmpscanOptions(deadline_us=PATIENT_US, after="reset", payload="storm", storm_us=5_000)
    running = await scan(accel, 4, options, follow)
    assert all(bringup.ok for bringup in running.trials())


async def test_a_lost_ap_looks_the_same_where_a_storm_is_to_follow() -> None:
    async def follow(running: Scan) -> None:
        await running.bringups(1)
        await running.located(
            [CpuLocation.WAITING, CpuLocation.STORMING, CpuLocation.STORMING, CpuLocation.RESET_VECTOR]
        )

    running = await scan(Accel.TCG, 4, SmpscanOptions(deadline_us=BUSY_US, leave_out=3, payload="storm"), follow)
    assert running.trials() == [ScanRound(1, end=RoundEnd.MISSING, lost=1, missing=(3,))]


async def test_a_reset_from_outside_cuts_the_bringup() -> None:
    async def follow(running: Scan) -> None:
        await running.until(lambda: running.log.underway)
        await running.guest.control.execute("system_reset", timeout_s=60)
        await running.bringups(1)
        await running.until(lambda: running.log.started == 2)

    options = SmpscanOptions(deadline_us=PATIENT_US, leave_out=1)
    running = await scan(Accel.TCG, 2, options, follow)
    assert running.trials() == [ScanRound(1, end=RoundEnd.CUT)]


@pytest.mark.parametrize(("smp", "apic_id"), [(2, 1), (80, 79)])
async def test_an_ap_that_enters_at_the_reset_vector_says_so_and_parks(smp: int, apic_id: int, tmp_path: Path) -> None:
    """The AP spins after its check-in; through gdb its instruction pointer is put where a replayed INIT puts it."""

    async def follow(running: Scan) -> None:
        await running.bringups(1)
        await running.located([CpuLocation.STOPPED, *[CpuLocation.CHECKED_IN] * (smp - 1)])
        await anyio.to_thread.run_sync(jump, tmp_path / "gdb", apic_id + 1, 0xFFF0)
        await running.until(lambda: running.log.current is not None and bool(running.log.current.replayed))

    args = ("-gdb", f"unix:{tmp_path}/gdb,server=on,wait=off")
    running = await scan(Accel.TCG, smp, SmpscanOptions(deadline_us=PATIENT_US, payload="spin"), follow, args=args)
    assert running.trials() == [ScanRound(1, end=RoundEnd.ALL_IN, replayed=(apic_id,))]
    assert running.guest.resets == 0


def jump(path: Path, thread: int, eip: int) -> None:
    """Set the instruction pointer of a CPU (*thread* 1 is CPU#0) through QEMU's gdb stub, and let the guest go on."""
    with Gdb(path) as gdb:
        gdb.ask(b"qXfer:features:read:target.xml:0,fff")  # without asking for it, registers cannot be written
        for packet in (b"Hg%x" % thread, b"P10=" + eip.to_bytes(8, "little").hex().encode(), b"D"):
            gdb.set(packet)


@pytest.mark.kvm
async def test_a_hammer_raises_replayed_init_and_without_one_there_is_none() -> None:
    async def follow(running: Scan) -> None:
        def replayed() -> bool:
            return running.log.current is not None and bool(running.log.current.replayed)

        await running.bringups(200)
        assert not any(bringup.replayed for bringup in running.trials())
        while not any(bringup.replayed for bringup in running.trials()) and len(running.trials()) < 10_000:
            await running.guest.control.hmp("info registers -a", timeout_s=60)
            await running.until(lambda: True)

    running = await scan(Accel.KVM, 4, RESET, follow)
    findings = [bringup for bringup in running.trials() if bringup.replayed]
    if not findings:
        pytest.skip(f"no replayed INIT in {len(running.trials())} hammered bring-ups: not seen on this host")
    assert findings[0].end is RoundEnd.ALL_IN
    assert set(findings[0].replayed) <= {1, 2, 3}


@pytest.mark.kvm
async def test_a_lost_init_is_reported_and_stays_at_the_reset_vector() -> None:
    async def follow(running: Scan) -> None:
        while not (running.trials() and running.trials()[-1].end is RoundEnd.MISSING):
            await running.guest.control.hmp("info registers -a", timeout_s=60)
            await running.until(lambda: True)
        missing = running.trials()[-1].missing
        await running.located(
            [
                CpuLocation.WAITING,
                *[CpuLocation.RESET_VECTOR if ap in missing else CpuLocation.CHECKED_IN for ap in (1, 2, 3)],
            ]
        )

    running = await scan(Accel.KVM, 4, SmpscanOptions(deadline_us=BUSY_US, after="reset"), follow, build=pretending())
    *_, last = running.trials()
    assert last.lost == len(last.missing) > 0
