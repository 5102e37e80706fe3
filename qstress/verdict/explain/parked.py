"""OVMF's boot CPU and the APs it parks: an INIT lost in its first round or in a later one, and a replayed one.

OVMF runs above 1 MiB and parks its APs there, halted with interrupts off, after each of its rounds
(docs/background/guests.md, "Register pictures of a stuck OVMF"). What registers alone show of it is never certain from
one look: an AP that was hot-plugged later stands at the reset vector as well, and a healthy boot CPU waits so for
microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from qstress.firmware.ovmf_wait import PAGE_BYTES, SIGNAL, first_round_found
from qstress.model import Confidence
from qstress.verdict.explain.ask import SECOND_DUMP, STATUS, THREADS, to_collect
from qstress.verdict.explain.picture import DumpVerdict, Explanation, Picture
from qstress.verdict.vcpu import VcpuLook, VcpuRole, look_names, within_few_bytes

_FLASH, _TOP = 0xFFC00000, 1 << 32
_STAP = int.from_bytes(SIGNAL, "little")
_COUNT = f"'info lapic', and where its ICR points: for 000c469f 'xp /{PAGE_BYTES}xb 0x9f000', where it counts its CPUs"
_WHY = "why is not in the registers: an INIT or a SIPI lost by QEMU, by KVM or to SMM all leave this picture"


def replayed_in_flash(picture: Picture) -> Explanation | None:
    """An AP that runs code in the flash below 4 GiB entered at the reset vector: its own SIPI leads below 1 MiB."""
    boot_cpu, aps = _vcpus(picture)
    strays = [look for look in aps if _in_flash(look) and not look.halted]
    if boot_cpu is None or not strays or not _in_ovmf(boot_cpu):
        return None
    because = (
        f"{look_names(strays)} runs the first code of a firmware in flash, as only the boot CPU does",
        "CPU#0 is past that, above 1 MiB, as OVMF's is",
    )
    return _told(picture, DumpVerdict.REPLAYED_INIT, Confidence.LIKELY, because, SECOND_DUMP)


def lost_in_first_round(picture: Picture) -> Explanation | None:
    """An AP at the reset vector, where others came and were parked: the broadcast that wakes all has been sent."""
    boot_cpu, aps = _vcpus(picture)
    lost = [look for look in aps if all(seen.at_reset_vector for seen in picture.history(look.index))]
    parked = [look for look in aps if _parked(look)]
    if boot_cpu is None or not lost or not all(map(_in_ovmf, picture.history(0))) or "BdsDxe" in picture.words.ran:
        return None
    found = next(_counted(picture), None)
    if found is None and not parked or found is not None and found >= len(aps) + 1:
        return None
    because = [f"{look_names(lost)} at the reset vector, EIP=0000fff0"]
    if parked:
        because.append(
            f"{look_names(parked)} came and is parked above 1 MiB, halted, interrupts off, as OVMF parks APs"
        )
    if found is not None:
        because.append(f"OVMF's first round waits: of {len(aps) + 1} CPUs it has {found}, by its own count")
    because.append("one that was plugged in later would stand so, too" if found is None else _WHY)
    sure = found is not None and _seen_twice(picture, (0, *(look.index for look in lost)))
    asked = (*(() if found is not None else (_COUNT,)), SECOND_DUMP, STATUS, THREADS)
    return _confident(picture, because, asked, sure=sure)


def lost_in_later_round(picture: Picture) -> Explanation | None:
    """The boot CPU compares a parked AP's word with STAP, which it does until that AP has taken its wake-up."""
    boot_cpu, aps = _vcpus(picture)
    if boot_cpu is None or not aps or not all(map(_parked, aps)):
        return None
    history = picture.history(0)
    if not all(_in_ovmf(look) and look.eax == _STAP for look in history):
        return None
    because = [
        "CPU#0 has STAP (50415453) in EAX: OVMF's wait for an AP that was parked and is to be woken again",
        f"{look_names(aps)} parked, halted, interrupts off; none is at the reset vector",
        _WHY,
    ]
    sure = within_few_bytes(history) and _seen_twice(picture, (0, *(look.index for look in aps)))
    return _confident(picture, because, (SECOND_DUMP, STATUS, THREADS), sure=sure)


def _confident(picture: Picture, because: list[str], asked: tuple[str, ...], *, sure: bool) -> Explanation:
    """A lost INIT; in one look at a guest that does not run everything stands still."""
    if sure:
        return _told(picture, DumpVerdict.LOST_INIT, Confidence.CERTAIN, tuple(because))
    if picture.words.paused:
        because.append(f"the guest is paused ({picture.words.status}): nothing can move until it runs")
        return _told(picture, DumpVerdict.INCONCLUSIVE, Confidence.INCONCLUSIVE, tuple(because), *asked)
    return _told(picture, DumpVerdict.LOST_INIT, Confidence.LIKELY, tuple(because), *asked)


def _told(
    picture: Picture, verdict: DumpVerdict, confidence: Confidence, because: tuple[str, ...], *asked: str
) -> Explanation:
    return Explanation(verdict, confidence, picture.latest(), because, to_collect(picture, *asked))


def _vcpus(picture: Picture) -> tuple[VcpuLook | None, list[VcpuLook]]:
    looks = picture.latest()
    boot_cpu = next((look for look in looks if look.role is VcpuRole.BSP and look.eip is not None), None)
    return boot_cpu, [look for look in looks if look.role is VcpuRole.AP]


def _seen_twice(picture: Picture, indices: tuple[int, ...]) -> bool:
    """Whether two whole looks found these vCPUs so, and the guest ran."""
    histories = [picture.history(index) for index in indices]
    return not picture.words.paused and all(len(seen) > 1 and all(look.whole for look in seen) for seen in histories)


def _counted(picture: Picture) -> Iterator[int]:
    """What a page in the text counts, if it is one in which a first round waits."""
    for at, data in picture.memory:
        if (found := first_round_found(data, at)) is not None:
            yield found


def _above_1m(look: VcpuLook) -> bool:
    """In flat protected or 64-bit code between 1 MiB and the flash."""
    return bool(look.protected) and not look.smm and 0x100000 <= (look.linear_address or 0) < _FLASH


def _in_ovmf(look: VcpuLook) -> bool:
    return _above_1m(look) and not look.halted


def _parked(look: VcpuLook) -> bool:
    return _above_1m(look) and bool(look.halted) and look.interrupts is False


def _in_flash(look: VcpuLook) -> bool:
    return not look.at_reset_vector and not look.smm and _FLASH <= (look.linear_address or 0) < _TOP
