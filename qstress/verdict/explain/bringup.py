"""The boot CPU and the APs it wakes: lost and replayed INITs, and a boot CPU that waits although no AP is missing.

Before the boot CPU has sent INIT and SIPI, and only before, APs at the reset vector are normal. This is SeaBIOS and
smpscan; OVMF, which wakes its APs elsewhere and parks them, is in ``parked``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from qstress.firmware.smpscan import WAIT_PAGE
from qstress.model import Confidence, ThreadUsage
from qstress.registers import WAIT_LOOP_BYTES, wait_loop_count_address
from qstress.verdict.examination import SLEEPS_BELOW, SPINS_ABOVE_S
from qstress.verdict.explain.ask import SECOND_DUMP, STATUS, THREADS, code_around, to_collect
from qstress.verdict.explain.picture import DumpVerdict, Explanation, Picture
from qstress.verdict.vcpu import VcpuLook, VcpuRole, look_names, within_few_bytes
from qstress.verdict.wait import ApWait

#: More vCPUs than any machine type has: a larger EBX is not a count of CPUs.
_MOST_VCPUS = 4096


def replayed_init(picture: Picture) -> Explanation | None:
    """An AP in SeaBIOS's relocated start-up code, above 1 MiB: it came there from the reset vector, as only the boot
    CPU may. SeaBIOS's own code for APs stays below 1 MiB."""
    boot_cpu = _boot_cpu(picture)
    if boot_cpu is None or (wait := _wait(picture, boot_cpu)) is None:
        return None
    strays = [look for look in _aps(picture) if look.above_1m_unpaged and not look.halted]
    if not strays:
        return None
    because = (
        wait.sentence,
        f"{look_names(strays)} runs firmware start-up code above 1 MiB, as only the boot CPU does",
    )
    asked = to_collect(
        picture, "the firmware's debug console (port 0x402): a second banner or 'In resume'", SECOND_DUMP
    )
    return Explanation(DumpVerdict.REPLAYED_INIT, Confidence.LIKELY, picture.latest(), because, asked)


def lost_init(picture: Picture) -> Explanation | None:
    """An AP at the reset vector, and a boot CPU that waits for it in firmware.

    Certain: two whole looks, the boot CPU at the same few bytes with the count in EBX or in the loop by its code. One
    look, or a boot CPU that only stays where it is while other APs came up, makes it likely. A boot CPU elsewhere in
    its firmware may be on its way to wake them.
    """
    boot_cpu = _boot_cpu(picture)
    lost = [look for look in _aps(picture) if all(seen.at_reset_vector for seen in picture.history(look.index))]
    if boot_cpu is None or not lost:
        return None
    case = _LostInit(picture, boot_cpu, tuple(lost))
    if any(objection(case) for objection in _OBJECTIONS):
        return None
    return next(told for rule in _LOST_INIT_RULES if (told := rule(case)) is not None)


@dataclass(frozen=True)  # no slots: what is derived is kept
class _LostInit:
    """What speaks for and against a lost INIT of the APs *lost*."""

    picture: Picture
    boot_cpu: VcpuLook
    lost: tuple[VcpuLook, ...]

    @cached_property
    def history(self) -> tuple[VcpuLook, ...]:
        return self.picture.history(0)

    @cached_property
    def wait(self) -> ApWait | None:
        return _wait(self.picture, self.boot_cpu)

    @cached_property
    def stays(self) -> bool:
        """Whether several looks found the boot CPU running at the same few bytes of its firmware."""
        ran = all(look.in_firmware and not look.halted for look in self.history)
        return len(self.history) > 1 and ran and within_few_bytes(self.history)

    @cached_property
    def moved(self) -> bool:
        """Whether the boot CPU was elsewhere, or halted, in an earlier look."""
        return len(self.history) > 1 and not self.stays

    @cached_property
    def came_up(self) -> list[VcpuLook]:
        return [look for look in _aps(self.picture) if look.in_firmware]

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        return tuple(_doubts(self.picture, self.lost))

    @cached_property
    def seen_twice(self) -> bool:
        """Whether two whole looks found it so, the boot CPU waiting by its code or its count in both."""
        histories = [self.history, *(self.picture.history(look.index) for look in self.lost)]
        whole = all(len(seen) > 1 and all(look.whole for look in seen) for seen in histories)
        return self.stays and whole and all(_wait(self.picture, look) for look in self.history)

    @cached_property
    def because(self) -> tuple[str, ...]:
        each_time = ", each time" if len(self.history) > 1 else ""
        told = [f"{look_names(self.lost)} at the reset vector, EIP=0000fff0{each_time}"]
        if self.wait:
            told.append(self.wait.sentence)
        if self.stays:
            told.append("CPU#0 ran at the same few bytes of its firmware each time")
        if self.came_up:
            told.append(f"{look_names(self.came_up)} came up: the broadcast that wakes all APs has been sent")
        return tuple(told)

    def told(self, verdict: DumpVerdict, confidence: Confidence, asked: tuple[str, ...], *more: str) -> Explanation:
        return Explanation(verdict, confidence, self.picture.latest(), (*self.because, *more), asked)


def _not_in_firmware(case: _LostInit) -> bool:
    """Only firmware that runs can be waiting for its APs."""
    return not case.boot_cpu.in_firmware or bool(case.boot_cpu.halted)


def _all_came(case: _LostInit) -> bool:
    """By its own count the boot CPU has all that it waits for."""
    return case.wait is not None and case.wait.over


def _is_past_it(case: _LostInit) -> bool:
    """Once others came up, a boot CPU that was elsewhere or halted before, or whose code is there and is no wait, waits
    for no AP: one that was plugged in later stands at the reset vector, too."""
    waits = case.wait is not None and (case.wait.by_code or not case.moved)
    return bool(case.came_up) and not waits and (case.moved or _code_is_known(case.picture, case.boot_cpu))


def _may_not_have_sent(case: _LostInit) -> Explanation | None:
    """Firmware that is not seen to wait may still be on its way to wake its APs."""
    if case.wait is not None or case.stays or case.came_up:
        return None
    asked = to_collect(case.picture, SECOND_DUMP, code_around(case.boot_cpu.eip or 0, WAIT_LOOP_BYTES), STATUS)
    reason = "CPU#0 runs firmware; until it has sent INIT and SIPI every AP stands so"
    return case.told(DumpVerdict.INCONCLUSIVE, Confidence.INCONCLUSIVE, asked, reason)


def _seen_for_certain(case: _LostInit) -> Explanation | None:
    if not case.seen_twice or case.doubts:
        return None
    return case.told(DumpVerdict.LOST_INIT, Confidence.CERTAIN, ())


def _paused_since(case: _LostInit) -> Explanation | None:
    """In one look at a guest that does not run everything stands still."""
    if not case.picture.words.paused or case.seen_twice:
        return None
    return case.told(DumpVerdict.INCONCLUSIVE, Confidence.INCONCLUSIVE, _asked(case), *case.doubts)


def _likely_lost(case: _LostInit) -> Explanation:
    return case.told(DumpVerdict.LOST_INIT, Confidence.LIKELY, _asked(case), *case.doubts)


def _asked(case: _LostInit) -> tuple[str, ...]:
    code = () if case.wait and case.wait.by_code else (code_around(case.boot_cpu.eip or 0, WAIT_LOOP_BYTES),)
    return to_collect(case.picture, SECOND_DUMP, *code, STATUS, THREADS)


#: With any of these there is no lost INIT; else the first rule that applies says how sure it is.
_OBJECTIONS: tuple[Callable[[_LostInit], bool], ...] = (_not_in_firmware, _all_came, _is_past_it)
_LOST_INIT_RULES: tuple[Callable[[_LostInit], Explanation | None], ...] = (
    _may_not_have_sent, _seen_for_certain, _paused_since, _likely_lost,
)  # fmt: skip


def waits_for_none(picture: Picture) -> Explanation | None:
    """The boot CPU is in SeaBIOS's wait by its code, and no AP is at the reset vector: the count is wrong, or an AP
    was lost after it had come up."""
    boot_cpu = _boot_cpu(picture)
    wait = _wait(picture, boot_cpu) if boot_cpu else None
    if boot_cpu is None or wait is None or not wait.by_code or any(look.at_reset_vector for look in _aps(picture)):
        return None
    history = picture.history(0)
    stays = len(history) > 1 and within_few_bytes(history)
    sure = stays and all(look.whole for look in history) and not picture.words.paused
    because = (wait.sentence, "no AP stands at the reset vector: the count is wrong, or an AP was lost later")
    confidence = Confidence.CERTAIN if sure else Confidence.LIKELY
    asked = () if sure else to_collect(picture, SECOND_DUMP, STATUS, THREADS)
    return Explanation(DumpVerdict.SPINNING, confidence, picture.latest(), because, asked)


def remarks(picture: Picture) -> Iterator[str]:
    """Yield what is to be said of APs where the picture as a whole is another."""
    waiting = [look for look in _aps(picture) if look.at_reset_vector]
    if left := left_reset_vector(picture):
        who = look_names(left)
        yield f"{who} left the reset vector between two looks: the boot goes on, or the dump itself woke it"
    if waiting and _boot_cpu(picture):
        yield (
            f"{look_names(waiting)} at the reset vector: not woken yet, hot-plugged and never started, or lost; "
            "CPU#0 is not seen waiting for it"
        )


def left_reset_vector(picture: Picture) -> list[VcpuLook]:
    """Return the APs that were at the reset vector in an earlier look and are elsewhere now."""
    moved = (look for look in _aps(picture) if not look.at_reset_vector)
    return [look for look in moved if any(before.at_reset_vector for before in picture.history(look.index))]


def _boot_cpu(picture: Picture) -> VcpuLook | None:
    return next((look for look in picture.latest() if look.role is VcpuRole.BSP and look.eip is not None), None)


def _aps(picture: Picture) -> list[VcpuLook]:
    return [look for look in picture.latest() if look.role is VcpuRole.AP]


def _wait(picture: Picture, boot_cpu: VcpuLook) -> ApWait | None:
    """Tell whether the boot CPU, as this look has it, waits for its APs."""
    if boot_cpu.eip is None or boot_cpu.halted or boot_cpu.smm:
        return None
    expected = (boot_cpu.ebx or 0) & 0xFFFF
    for at, data in picture.memory:
        counter = wait_loop_count_address(data, at, boot_cpu.eip)
        if counter is not None:
            return ApWait(expected, _word(picture, counter))
    if _code_is_known(picture, boot_cpu) and boot_cpu.linear_address not in WAIT_PAGE:
        return None  # what is in EBX there is something else
    if boot_cpu.in_firmware and boot_cpu.ebx == expected and _counts_vcpus(picture, expected):
        return ApWait(expected, by_code=False)
    return None


def _counts_vcpus(picture: Picture, number: int) -> bool:
    """Whether *number* is that of the vCPUs shown, or of more where some were cut away."""
    shown = [look.index for look in picture.latest() if look.numbered]
    return number in (len(shown), max(shown) + 1) or (picture.cut and max(shown) < number <= _MOST_VCPUS)


def _code_is_known(picture: Picture, boot_cpu: VcpuLook) -> bool:
    """Whether the text holds the bytes around the boot CPU's EIP, so that its wait would have been seen in them."""
    eip = boot_cpu.eip or 0
    return any(at + WAIT_LOOP_BYTES <= eip <= at + len(data) - WAIT_LOOP_BYTES for at, data in picture.memory)


def _word(picture: Picture, address: int) -> int | None:
    """The 32 bits at *address*, where the text holds them."""
    for at, data in picture.memory:
        if at <= address and address + 4 <= at + len(data):
            return int.from_bytes(data[address - at : address - at + 4], "little")
    return None


def _doubts(picture: Picture, lost: tuple[VcpuLook, ...]) -> Iterator[str]:
    """Yield what speaks against a lost INIT, or leaves it open."""
    if picture.words.paused:
        yield f"the guest is paused ({picture.words.status}): nothing can move until it runs"
    if picture.words.found_cpus:
        yield "the firmware's console says 'Found … cpu(s)': of an earlier boot, or the AP was plugged in later"
    usage = {thread.index: thread for thread in picture.usage}
    awake = [look for look in lost if look.index in usage and _is_awake(usage[look.index])]
    if awake:
        yield f"{look_names(awake)}: its thread runs or wants to, so it was woken"
    if 0 in usage and usage[0].cpu_s < SPINS_ABOVE_S:
        yield "the thread of CPU#0 used no CPU time between the looks: it does not spin"


def _is_awake(thread: ThreadUsage) -> bool:
    """Whether a vCPU's thread ran, or wants to: to be sent a SIPI wakes it at once, however busy the host is."""
    return thread.share >= SLEEPS_BELOW or thread.state == "R"
