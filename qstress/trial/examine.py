"""A closer look at a guest that makes no progress; nothing hammers it while this runs.

What disturbs no AP comes first. The boot CPU is looked at alone: nobody ever sends it an INIT, so reading its
registers cannot interfere with one. When its own code says that it waits for its APs, their INIT has been sent; then
their threads are watched, and only then all vCPUs are dumped, twice: on KVM reading a register lets the kernel process
a pending INIT, so a dump can itself move an AP (docs/background/qemu.md, "What HLT says"), and one that falls on the
broadcast can lose it. A boot CPU that does something else may still be about to wake its APs, so on KVM they are left
alone until it has been silent for very much longer than what raises a doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import anyio

from qstress.errors import GuestError
from qstress.firmware import firmware_of
from qstress.guest.live import Guest
from qstress.model import Accel, Observation, ThreadUsage, VcpuState, WaitLoop
from qstress.observe import usage
from qstress.registers import parse_text, parse_xp, sipi_sent
from qstress.trial import boot_cpu
from qstress.trial.boot_cpu import BootCpu
from qstress.verdict.examination import Examination, watched_enough
from qstress.verdict.limits import Limits

#: How often the boot CPU is looked at to find it in its wait loop: smpscan spends part of its wait in a subroutine.
LOOKS = 8
#: On KVM the APs of a boot CPU that is not known to wait are dumped when it has been silent for so many quiet times.
UNTOUCHED = 4
#: Code is kept in blocks of so many bytes, so that two looks at one loop mostly keep the same.
CODE_BYTES = 128


@dataclass(frozen=True, slots=True)
class ClosedLook:
    """What :func:`examine` saw: the values for the judge, the two dumps as printed, with their times, and other replies
    by the command that was asked."""

    examination: Examination
    dumps: tuple[tuple[float, str], ...]
    replies: tuple[tuple[str, str], ...] = ()

    @property
    def notes(self) -> dict[str, object]:
        """What the evidence should hold beside the dumps, as values that JSON can hold."""
        seen = self.examination
        return {
            "looks_s": [at_s for at_s, _ in self.dumps],
            "runstate": seen.runstate,
            "sipi_sent": seen.sipi_sent,
            "quiet": [asdict(thread) for thread in seen.quiet],
            "replies": dict(self.replies),
        }


async def examine(guest: Guest, limits: Limits, *, heard_s: float, clock_zero_s: float) -> ClosedLook:
    """Look at the boot CPU, watch threads for ``limits.settle_s``, then dump all vCPUs twice, ``limits.gap_s`` apart.

    Ends early, without dumps, when the console speaks meanwhile or the APs are better left alone.

    :param heard_s: when the guest was heard last (monotonic seconds).
    :param clock_zero_s: monotonic time that the observations' times count from.
    :raises GuestError: the monitor does not answer within ``limits.reply_s``, or is gone.
    """
    return await _Look(guest, limits, heard_s, clock_zero_s).run()


async def out_of_band_answers(guest: Guest, *, timeout_s: float) -> bool:
    """Whether QEMU's monitors still serve out-of-band commands when in-band ones are stuck.

    ``query-yank`` is one of the four commands that may run out of band (7.2 to 11.1, ``allow-oob`` in the schema).
    """
    try:
        await guest.control.execute("query-yank", timeout_s=timeout_s, oob=True)
    except GuestError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class StallLook:
    """What was seen of a QEMU whose monitor is silent: whether it serves out-of-band commands, its state, and what all
    its threads did meanwhile."""

    oob_answers: bool
    process_state: str
    threads: tuple[ThreadUsage, ...]


async def examine_stall(guest: Guest, *, timeout_s: float) -> StallLook:
    """Try an out-of-band command for at most *timeout_s*, and watch QEMU's threads for so long."""
    pid = guest.process.pid
    threads = usage.threads_of(pid)
    first, began_s = usage.sample(pid, threads), anyio.current_time()
    answers = await out_of_band_answers(guest, timeout_s=timeout_s)
    if answers:  # quickly: what its threads do is not known yet
        with anyio.CancelScope(deadline=began_s + timeout_s):
            await guest.process.exited.wait()
    used = usage.usage_between(pid, first, usage.sample(pid, threads))
    return StallLook(answers, usage.process_state(pid), used)


class _Look:
    def __init__(self, guest: Guest, limits: Limits, heard_s: float, clock_zero_s: float) -> None:
        self._guest = guest
        self._limits = limits
        self._silent_since_s = heard_s
        self._zero_s = clock_zero_s
        self._dumps: list[tuple[float, str]] = []
        self._replies: list[tuple[str, str]] = []
        guest.console.drain()
        self._heard_s = guest.console.last_output_s

    async def run(self) -> ClosedLook:
        guest, limits = self._guest, self._limits
        threads = await guest.vcpu_threads(timeout_s=limits.reply_s)
        running, runstate = await self._status()
        nothing = Observation(0.0, ())
        if not running:
            return ClosedLook(Examination(nothing, nothing, (), False, running, runstate, None), ())
        looks = await self._boot_cpu()
        waited = looks[-1].loop
        states = tuple(look.state for look in looks if look.state is not None)
        apic = await self._hmp("info lapic")
        quiet = await self._watch(threads, limits.settle_s)
        before = after = nothing
        used, waits = quiet, await self._counted_again(looks[-1])
        moves = self._heard or waits != waited
        if not moves and (waited is not None or self._may_touch_aps(states)):
            before = await self._dump()
            used = await self._watch(threads, limits.gap_s)
            after = await self._dump()
            waits = await self._counted_again(looks[-1])
            moves = self._heard or waits != waited
            waits = await self._named(looks[-1], waits)
            running, runstate = await self._status()  # whoever paused it meanwhile made it stand still
        examination = Examination(
            before, after, used, moves, running, runstate, waits,
            quiet=quiet, boot_cpu=states, waited=waited, sipi_sent=sipi_sent(apic),
            code=b"" if waited is not None or not states else await self._code(min(s.linear_address for s in states)),
            kvm=guest.shape.accel is Accel.KVM, known_firmware=firmware_of(guest.shape).milestones_known,
        )  # fmt: skip
        if examination.lost:
            await self._hmp(f"info lapic {examination.lost[0]}")
        if states:
            await self._hmp(f"x /10i {states[-1].linear_address:#x}")
        return ClosedLook(examination, tuple(self._dumps), tuple(self._replies))

    async def _status(self) -> tuple[bool, str]:
        status = await self._guest.control.execute("query-status", timeout_s=self._limits.reply_s)
        assert isinstance(status, dict)
        return bool(status.get("running")), str(status.get("status"))

    @property
    def _heard(self) -> bool:
        """Whether the console has spoken since the look began."""
        self._guest.console.drain()
        return self._guest.console.last_output_s != self._heard_s

    def _may_touch_aps(self, boot_cpu: Sequence[VcpuState]) -> bool:
        """Whether a dump can do no harm, or it is time: nobody will send an INIT where the boot CPU is halted with
        interrupts off, or has given up its APs."""
        silence_s = anyio.current_time() - self._silent_since_s
        dead = all(vcpu.halted and not vcpu.interrupts for vcpu in boot_cpu)
        dead = dead or self._guest.console.log.stuck
        return self._guest.shape.accel is not Accel.KVM or dead or silence_s >= UNTOUCHED * self._limits.quiet_s

    async def _boot_cpu(self) -> list[BootCpu]:
        """Look at the boot CPU alone until it is seen waiting for its APs, often enough, or the console speaks."""
        looks = [await boot_cpu.look(self._guest, timeout_s=self._limits.reply_s)]
        while len(looks) < LOOKS and looks[-1].loop is None and not self._heard:
            looks.append(await boot_cpu.look(self._guest, timeout_s=self._limits.reply_s))
        return looks

    async def _counted_again(self, waited: BootCpu) -> WaitLoop | None:
        """The wait loop with the count as it is now: one that still is too low holds the boot CPU in the loop."""
        if waited.loop is None:
            return None
        found = await boot_cpu.count(self._guest, waited.count, timeout_s=self._limits.reply_s)
        return waited.loop if found is None else replace(waited.loop, found=found)

    async def _named(self, waited: BootCpu, waits: WaitLoop | None) -> WaitLoop | None:
        """The wait with those parked APs named that have not woken, as far as the last dump tells."""
        if waits is None or not self._dumps:
            return waits
        timeout_s = self._limits.reply_s
        unwoken = await boot_cpu.unwoken(self._guest, waited.count, self._dumps[-1][1], timeout_s=timeout_s)
        return replace(waits, unwoken=unwoken)

    async def _watch(self, threads: Mapping[int, int], at_least_s: float) -> tuple[ThreadUsage, ...]:
        """Return what the vCPUs' threads did in *at_least_s* or some more, or until the console spoke."""
        pid = self._guest.process.pid
        first = usage.sample(pid, threads)
        until_s = anyio.current_time() + self._limits.watch_s
        while True:
            heard = await self._guest.console.output(at_least_s)
            used = usage.usage_between(pid, first, usage.sample(pid, threads))
            if heard or watched_enough(used) or anyio.current_time() >= until_s:
                return used

    async def _dump(self) -> Observation:
        text = await self._ask("info registers -a")
        at_s = anyio.current_time() - self._zero_s
        self._dumps.append((at_s, text))
        return parse_text(text, at_s)

    async def _code(self, address: int) -> bytes:
        return parse_xp(await self._ask(f"xp /{CODE_BYTES}xb {address // CODE_BYTES * CODE_BYTES:#x}"))

    async def _hmp(self, command: str) -> str:
        text = await self._ask(command)
        self._replies.append((command, text))
        return text

    async def _ask(self, command: str) -> str:
        return await self._guest.control.hmp(command, timeout_s=self._limits.reply_s)
