"""What depends on the firmware that a guest runs, as one value a firmware (pure).

A firmware is a file beside this one that makes its :class:`Firmware`, and its name in ``qstress/firmware/__init__.py``.
Everything else asks that value, and nothing compares a firmware's name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qstress.firmware.lines import LinePatterns
from qstress.firmware.streams import BootProgress, BootReader, Stream
from qstress.model import Shape, Tier, VcpuState
from qstress.registers import parse_xp


class SeriesReader(BootReader, Protocol):
    """What reads the console of a guest that resets itself: as a boot it is the bring-up under way, which is never
    found; those that are over wait in ``over``, in order, healthy ones as a number."""

    over: deque[int | BootProgress]


@dataclass(frozen=True, slots=True)
class CpuCount:
    """A wait of the boot CPU's for its APs: ``expected`` CPUs have to come, itself included, and ``read`` makes the
    number of those that came of ``size`` bytes of guest memory at ``address``.

    ``later``: these APs had come before, and were parked by the firmware. ``who`` then names those that have not come
    again, as far as the same memory and the text of ``info registers -a`` tell.
    """

    expected: int
    address: int
    size: int
    read: Callable[[bytes], int]
    later: bool = False
    who: Callable[[bytes, str], tuple[int, ...]] | None = None


#: A conversation with HMP: yields a line, is sent what it prints, returns what that comes to.
Asking = Generator[str, str, CpuCount | None]


class WaitFinder(Protocol):
    """How to see that the boot CPU waits for its APs."""

    def find(self, boot_cpu: VcpuState, registers: str, *, stuck: bool, smp: int) -> Asking:
        """Ask what has to be asked, return how it waits, or None where it does not.

        :param boot_cpu: the same as *registers*, what ``info registers`` prints of it.
        :param stuck: the firmware itself says that APs are missing.
        :param smp: how many vCPUs the guest has.
        """


def memory_at(address: int, size: int) -> Generator[str, str, bytes]:
    """Ask for guest memory; return it, empty where it cannot be read whole."""
    memory = parse_xp((yield f"xp /{size}xb {address:#x}"))
    return memory if len(memory) == size else b""


@dataclass(frozen=True, slots=True)
class LostAp:
    """How an AP is lost by injection, for vCPU counts in ``smp``.

    ``by_firmware``: it leaves out an AP by itself, in every n-th bring-up of a process. Otherwise it is lost in the
    first boot alone: ``by_debugger``: QEMU's gdb stub does not run one, or sends it elsewhere
    (:mod:`qstress.trial.leave_out`, under TCG alone); else its AP is hot-plugged once its boot CPU waits for one more
    than there are (:mod:`qstress.trial.inject`). With both, the debugger makes what the firmware, or what is behind it,
    cannot make by itself.
    """

    smp: range
    by_firmware: bool = False
    by_debugger: bool = False

    @property
    def faults(self) -> tuple[ApFault, ...]:
        """Which faults can be injected."""
        if self.by_firmware and self.by_debugger:
            return ApFault.NEVER_WOKEN, ApFault.LATER_ROUND
        return tuple(ApFault) if self.by_debugger else (ApFault.NEVER_WOKEN,)


class ApFault(StrEnum):
    """What is done to an AP by injection."""

    NEVER_WOKEN = "never-woken"  # it stays at the reset vector: the picture of a lost INIT
    LATER_ROUND = "later-round"  # it came, was parked, and is not woken again
    WOKEN_LATE = "woken-late"  # it comes when the boot CPU has long waited: no fault, and none may be found
    REPLAYED = "replayed"  # it enters at the reset vector, as after a replayed INIT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Firmware:
    """What depends on the firmware that a guest runs: one attribute for each question that qstress has, which is why
    there are many. The defaults are those of a firmware of which no more is known than what it prints.

    ``name``: the word of ``guest.firmware`` in a configuration, and of recorded runs.
    ``arguments``: QEMU's arguments that give a shape this firmware. The number says that an AP is to be lost in every
    n-th bring-up of the process (0: in none), and is nothing to a firmware that does not lose one by itself. Raises
    ``RigError`` where an image of ours is missing or not the committed one.
    ``reader``: what reads the console of a guest of that shape; after a reset it is given the reader of the last boot.
    ``streams``: where it prints what the reader understands.
    ``lines``: the same as patterns, for ``repro.sh``; None where only qstress can read it.
    ``wait``: how to see that the boot CPU waits for its APs; None where it cannot be seen.
    ``lost_ap``: how an AP is lost by injection; None where that cannot be done.
    ``tier``: what its numbers are at best, before what else was done to the guest counts.
    ``milestones_known``: standing still means a hang, and a reset something wrong, also when it has printed nothing.
    ``usual``: QEMU starts it by itself; reports do not name it.
    ``resets_itself``: with ``restart: reset`` it makes bring-up after bring-up by itself, read by a ``SeriesReader``.
    ``accounts_for_aps``: it says by itself that APs are missing, and an AP that entered at the reset vector says so and
    stays there: there is nothing to wait for that would tell more.
    ``asks_boot_cpu``: its console says nothing of missing APs, so that a silence is reason to ask the boot CPU.
    ``dumps_tell``: its APs halt for good once they are up, so that register dumps alone tell how far it is.
    ``storms``: its CPUs can interrupt each other after each bring-up (``guest.storm``).
    ``silence_s``: the longest silence of its healthy boots under TCG on an idle host, where that is more than a line
    takes. ``least_memory_bytes``: with less it does not even begin. ``flash``: it lies in a pair of flash images
    (``guest.pflash``).
    ``settle_s``: how long it waits before INIT where KVM is hammered and ``guest.settle`` is not set; None: it cannot.
    ``needs_kernel``: it does nothing by itself but boot a kernel that QEMU was given.
    ``whole_cpu``: it runs code that a KVM may be unable to run: one that emulates what its guests do (kvm_pvm) cannot,
    and on any other a boot that nothing disturbs is seen to come up before the first trial counts.
    ``quiet_s``: it may well be silent for so long, on an idle host. ``boot_s``: how much longer than SeaBIOS it may
    take to bring up a guest of that shape, likewise.
    """

    name: str
    arguments: Callable[[Shape, int], tuple[str, ...]]
    reader: Callable[[Shape, BootReader | None], BootReader]
    streams: tuple[Stream, ...] = (Stream.DEBUG,)
    lines: LinePatterns | None = None
    wait: WaitFinder | None = None
    lost_ap: LostAp | None = None
    tier: Tier = Tier.T0
    milestones_known: bool = True
    usual: bool = False
    resets_itself: bool = False
    accounts_for_aps: bool = False
    asks_boot_cpu: bool = False
    dumps_tell: bool = False
    storms: bool = False
    silence_s: float = 0.0
    least_memory_bytes: int = 0
    flash: bool = False
    settle_s: float | None = None
    needs_kernel: bool = False
    whole_cpu: bool = False
    quiet_s: float = 0.0
    boot_s: Callable[[Shape], float] = lambda shape: 0.0

    @property
    def loses_aps_itself(self) -> bool:
        """Whether it leaves out an AP by itself where one is to be lost."""
        return self.lost_ap is not None and self.lost_ap.by_firmware

    @property
    def needs_gdb(self) -> bool:
        """Whether it takes QEMU's gdb stub to lose an AP."""
        return self.lost_ap is not None and self.lost_ap.by_debugger

    def by_gdb(self, fault: str) -> bool:
        """Whether it takes QEMU's gdb stub to make *fault*, one of :class:`ApFault`."""
        return self.needs_gdb and not (self.loses_aps_itself and fault == ApFault.NEVER_WOKEN)

    def in_series(self, shape: Shape) -> bool:
        """Whether a guest of *shape* makes bring-up after bring-up by itself."""
        return self.resets_itself and shape.restart == "reset"

    def label(self, shape: Shape) -> str:
        """Return what reports call it; empty for the usual one."""
        kernel = "" if shape.linux is None else f"linux {shape.linux.release} behind "
        return "" if self.usual else kernel + shape.firmware
