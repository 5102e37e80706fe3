"""The boot CPU and the APs it wakes: lost and replayed INITs, and a boot CPU that waits for nobody.

SeaBIOS sends INIT and SIPI once and then spins until as many CPUs checked in as it expects; EBX holds that number, and
so it does in smpscan (facts: qemu.md 3.2 and 3.3, ``src/fw/smp.c``). Before that, and only before, APs at the reset
vector are normal. Under other firmware (OVMF wakes its APs in 64-bit code) nothing of this is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qstress.firmware.smpscan import LOCATIONS, CpuLocation
from qstress.model import Confidence, ThreadUsage
from qstress.registers import WAIT_LOOP_BYTES, wait_loop_count_address
from qstress.verdict.explain.picture import Answer, Explanation, Look, Picture, Role, names, near
from qstress.verdict.explain.wanted import SECOND_DUMP, STATUS, THREADS, code_at, to_collect
from qstress.verdict.scene import SLEEPS_BELOW, SPINS_ABOVE_S

#: More vCPUs than any machine type has: a larger EBX is not a count of CPUs.
_MOST_VCPUS = 4096


@dataclass(frozen=True, slots=True)
class Wait:
    """What shows that the boot CPU waits for its APs: the loop's own code, or the count in EBX; ``found`` as read from
    memory next to the code (None: not in the text)."""

    expected: int
    by_code: bool
    found: int | None = None

    @property
    def line(self) -> str:
        """It in a sentence."""
        if not self.by_code:
            return f"CPU#0 has the number of vCPUs, {self.expected}, in EBX, as it has in SeaBIOS's wait for its APs"
        have = "" if self.found is None else f" and has {self.found}"
        return f"CPU#0 is in SeaBIOS's wait for its APs, by its code: it expects {self.expected} CPUs{have}"


def replayed_init(picture: Picture) -> Explanation | None:
    """An AP in SeaBIOS's relocated start-up code, above 1 MiB: it came there from the reset vector, as only the boot
    CPU may. SeaBIOS's own code for APs stays below 1 MiB."""
    boot_cpu = _boot_cpu(picture)
    if boot_cpu is None or (wait := _wait(picture, boot_cpu)) is None:
        return None
    strays = [look for look in _aps(picture) if look.above_1m_unpaged and not look.halted]
    if not strays:
        return None
    because = (wait.line, f"{names(strays)} runs firmware start-up code above 1 MiB, as only the boot CPU does")
    asked = to_collect(
        picture, "the firmware's debug console (port 0x402): a second banner or 'In resume'", SECOND_DUMP
    )
    return Explanation(Answer.REPLAYED_INIT, Confidence.LIKELY, picture.latest(), because, asked)


def lost_init(picture: Picture) -> Explanation | None:
    """An AP at the reset vector, and a boot CPU that waits for it in firmware.

    Certain: two whole looks, the boot CPU at the same few bytes with the count in EBX or in the loop by its code. One
    look, or a boot CPU that only stays where it is while other APs came up, makes it likely. A boot CPU elsewhere in
    its firmware may be on its way to wake them. Once others came up, one that was elsewhere or halted before, or whose
    code is there and is no wait, waits for nobody: an AP that was plugged in later stands at the reset vector, too.
    """
    boot_cpu, lost = _boot_cpu(picture), _lost(picture)
    if boot_cpu is None or not lost or not boot_cpu.in_firmware or boot_cpu.halted:
        return None
    history = picture.history(0)
    wait = _wait(picture, boot_cpu)
    if wait is not None and wait.found is not None and wait.found >= wait.expected:
        return None
    twice = len(history) > 1 and all(look.in_firmware and not look.halted for look in history) and near(history)
    came_up = [look for look in _aps(picture) if look.in_firmware]
    moved = len(history) > 1 and not twice
    waits = wait is not None and (wait.by_code or not moved)
    if came_up and not waits and (moved or _code_is_known(picture, boot_cpu)):
        return None
    because = [f"{names(lost)} at the reset vector, EIP=0000fff0{', each time' * (len(history) > 1)}"]
    because += [wait.line] if wait else []
    if twice:
        because.append("CPU#0 ran at the same few bytes of its firmware each time")
    if came_up:
        because.append(f"{names(came_up)} came up: the broadcast that wakes all APs has been sent")
    if wait is None and not twice and not came_up:
        because.append("CPU#0 runs firmware; until it has sent INIT and SIPI every AP stands so")
        asked = to_collect(picture, SECOND_DUMP, code_at(boot_cpu.eip or 0, WAIT_LOOP_BYTES), STATUS)
        return Explanation(Answer.INCONCLUSIVE, Confidence.INCONCLUSIVE, picture.latest(), tuple(because), asked)
    counted = all(_wait(picture, look) for look in history)
    seen = [look for vcpu in (boot_cpu, *lost) for look in picture.history(vcpu.index)]
    sure = (
        twice and counted and all(look.whole for look in seen) and all(len(picture.history(i.index)) > 1 for i in lost)
    )
    doubts = list(_doubts(picture, lost))
    confidence = Confidence.CERTAIN if sure and not doubts else Confidence.LIKELY
    if picture.words.paused and not sure:
        confidence = Confidence.INCONCLUSIVE
    wishes = [] if wait and wait.by_code else [code_at(boot_cpu.eip or 0, WAIT_LOOP_BYTES)]
    asked = () if sure and not doubts else to_collect(picture, SECOND_DUMP, *wishes, STATUS, THREADS)
    verdict = Answer.LOST_INIT if confidence is not Confidence.INCONCLUSIVE else Answer.INCONCLUSIVE
    return Explanation(verdict, confidence, picture.latest(), (*because, *doubts), asked)


def waits_for_nobody(picture: Picture) -> Explanation | None:
    """The boot CPU is in SeaBIOS's wait by its code, and no AP is at the reset vector: the count is wrong, or an AP
    was lost after it had come up."""
    boot_cpu = _boot_cpu(picture)
    wait = _wait(picture, boot_cpu) if boot_cpu else None
    if boot_cpu is None or wait is None or not wait.by_code or any(look.at_reset_vector for look in _aps(picture)):
        return None
    history = picture.history(0)
    sure = len(history) > 1 and near(history) and all(look.whole for look in history) and not picture.words.paused
    because = (wait.line, "no AP stands at the reset vector: the count is wrong, or an AP was lost later")
    confidence = Confidence.CERTAIN if sure else Confidence.LIKELY
    asked = () if sure else to_collect(picture, SECOND_DUMP, STATUS, THREADS)
    return Explanation(Answer.SPINNING, confidence, picture.latest(), because, asked)


def remarks(picture: Picture) -> Iterator[str]:
    """Yield what is to be said of APs where the picture as a whole is another."""
    waiting = [look for look in _aps(picture) if look.at_reset_vector]
    if left := left_reset_vector(picture):
        yield f"{names(left)} left the reset vector between two looks: the boot goes on, or the dump itself woke it"
    if waiting and _boot_cpu(picture):
        yield (
            f"{names(waiting)} at the reset vector: not woken yet, hot-plugged and never started, or lost; "
            "CPU#0 is not seen waiting for it"
        )


def left_reset_vector(picture: Picture) -> list[Look]:
    """Return the APs that were at the reset vector in an earlier look and are elsewhere now."""
    moved = (look for look in _aps(picture) if not look.at_reset_vector)
    return [look for look in moved if any(before.at_reset_vector for before in picture.history(look.index))]


def _boot_cpu(picture: Picture) -> Look | None:
    return next((look for look in picture.latest() if look.role is Role.BSP and look.eip is not None), None)


def _aps(picture: Picture) -> list[Look]:
    return [look for look in picture.latest() if look.role is Role.AP]


def _lost(picture: Picture) -> list[Look]:
    """APs that stand at the reset vector in every look."""
    return [look for look in _aps(picture) if all(seen.at_reset_vector for seen in picture.history(look.index))]


def _wait(picture: Picture, boot_cpu: Look) -> Wait | None:
    """Tell whether the boot CPU, as this look has it, waits for its APs."""
    if boot_cpu.eip is None or boot_cpu.halted or boot_cpu.smm:
        return None
    expected = (boot_cpu.ebx or 0) & 0xFFFF
    for at, data in picture.memory:
        counter = wait_loop_count_address(data, at, boot_cpu.eip)
        if counter is not None:
            return Wait(expected, True, _word(picture, counter))
    if _code_is_known(picture, boot_cpu) and boot_cpu.place not in LOCATIONS[CpuLocation.WAITING]:
        return None  # what is in EBX there is something else
    shown = [look.index for look in picture.latest() if look.numbered]
    fits = expected in (len(shown), max(shown) + 1) or (picture.cut and max(shown) < expected <= _MOST_VCPUS)
    if boot_cpu.in_firmware and boot_cpu.ebx == expected and fits:
        return Wait(expected, False)
    return None


def _code_is_known(picture: Picture, boot_cpu: Look) -> bool:
    """Whether the text holds the bytes around the boot CPU's EIP, so that its wait would have been seen in them."""
    eip = boot_cpu.eip or 0
    return any(at + WAIT_LOOP_BYTES <= eip <= at + len(data) - WAIT_LOOP_BYTES for at, data in picture.memory)


def _word(picture: Picture, address: int) -> int | None:
    """The 32 bits at *address*, where the text holds them."""
    for at, data in picture.memory:
        if at <= address and address + 4 <= at + len(data):
            return int.from_bytes(data[address - at : address - at + 4], "little")
    return None


def _doubts(picture: Picture, lost: list[Look]) -> Iterator[str]:
    """Yield what speaks against a lost INIT, or leaves it open."""
    if picture.words.paused:
        yield f"the guest is paused ({picture.words.status}): nothing can move until it runs"
    if picture.words.found_cpus:
        yield "the firmware's console says 'Found … cpu(s)': of an earlier boot, or the AP was plugged in later"
    usage = {thread.index: thread for thread in picture.usage}
    awake = [look for look in lost if look.index in usage and _is_awake(usage[look.index])]
    if awake:
        yield f"{names(awake)}: its thread runs or wants to, so it was woken"
    if 0 in usage and usage[0].cpu_s < SPINS_ABOVE_S:
        yield "the thread of CPU#0 used no CPU time between the looks: it does not spin"


def _is_awake(thread: ThreadUsage) -> bool:
    """Whether a vCPU's thread ran, or wants to: whoever sends a SIPI wakes it at once, however busy the host is."""
    return thread.share >= SLEEPS_BELOW or thread.state == "R"
