"""What a watch is told and what it asks for: events in, actions out (pure; :mod:`qstress.trial.watch` says what follows
from which).

Both are frozen values, so that a journal can hold the events and a test can write both down.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstress.firmware.streams import Stream
from qstress.interposer.windows import Log
from qstress.model import Milestone, Observation, ThreadUsage, Verdict, WaitLoop
from qstress.verdict.examination import Examination


class WatchEvent:
    """Something that happened; when is told beside it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Started(WatchEvent):
    """The guest is being told to run; its bring-up counts from *began_s* (monotonic seconds)."""

    began_s: float


@dataclass(frozen=True, slots=True)
class Output(WatchEvent):
    """The guest printed *data* on *stream*."""

    data: bytes
    stream: Stream = Stream.DEBUG


@dataclass(frozen=True, slots=True)
class Dumped(WatchEvent):
    """A hammer's reply showed all vCPUs; told only where there is no console."""

    dump: Observation


@dataclass(frozen=True, slots=True)
class QemuExited(WatchEvent):
    """QEMU ended with *status*, negative for a signal; *stderr* are its last words."""

    status: int
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class GuestReset(WatchEvent):
    """QMP events ``RESET`` that nobody asked for came, *count* in all so far."""

    count: int


@dataclass(frozen=True, slots=True)
class GuestPanicked(WatchEvent):
    """QMP event ``GUEST_PANICKED``."""


@dataclass(frozen=True, slots=True)
class Tick(WatchEvent):
    """Something was told before, or the time has come: judge. *silent_since_s* is when the oldest hammer command that
    is still unanswered was sent (monotonic seconds; None: nothing is out)."""

    silent_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class PlugTried(WatchEvent):
    """Whether the vCPU that nobody will wake has been plugged in; False: it was too early."""

    plugged: bool


@dataclass(frozen=True, slots=True)
class BootCpuSeen(WatchEvent):
    """The wait loop in which the boot CPU was seen; None: in none, or the monitor gave no answer."""

    loop: WaitLoop | None


@dataclass(frozen=True, slots=True)
class HammersRested(WatchEvent):
    """During a closer look: no command is in flight any more, and what the console had said was read."""


@dataclass(frozen=True, slots=True)
class Looked(WatchEvent):
    """What a closer look saw."""

    seen: Examination


@dataclass(frozen=True, slots=True)
class LookFailed(WatchEvent):
    """A closer look got no answer: QEMU is stopped, gone, or its monitor is silent."""


@dataclass(frozen=True, slots=True)
class StallSeen(WatchEvent):
    """What was seen of a QEMU whose monitor is silent; *silent_since_s* as in :class:`Tick`."""

    process_state: str
    oob_answers: bool
    threads: tuple[ThreadUsage, ...]
    silent_since_s: float | None


@dataclass(frozen=True, slots=True)
class Enough(WatchEvent):
    """Nobody wants more bring-ups of this series."""


@dataclass(frozen=True, slots=True)
class RigFailed(WatchEvent):
    """Our host or we ourselves failed (``errors.RigError``)."""

    message: str
    reason: str


@dataclass(frozen=True, slots=True)
class WindowLogRead(WatchEvent):
    """What the interposer recorded of the bring-up, read once there is a verdict."""

    log: Log


class WatchAction:
    """Something that the watch asks its driver to do."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StartHammer(WatchAction):
    """Let hammer number *index* send."""

    index: int


@dataclass(frozen=True, slots=True)
class StopHammer(WatchAction):
    """Have hammer number *index* send nothing more."""

    index: int


@dataclass(frozen=True, slots=True)
class HoldAps(WatchAction):
    """Let the interposer hold APs where the build asks for that."""


@dataclass(frozen=True, slots=True)
class ReleaseAps(WatchAction):
    """Have the interposer let go of all APs and hold none."""


@dataclass(frozen=True, slots=True)
class TellChurn(WatchAction):
    """The boot has reached *milestone*, to which moves of threads may be tied."""

    milestone: Milestone


@dataclass(frozen=True, slots=True)
class PlugLostAp(WatchAction):
    """Plug in the vCPU that was left out, if the boot CPU already waits for it; answered by :class:`PlugTried`."""


@dataclass(frozen=True, slots=True)
class AskBootCpu(WatchAction):
    """Read whether the boot CPU waits for APs, without touching any; answered by :class:`BootCpuSeen`."""


@dataclass(frozen=True, slots=True)
class LookCloser(WatchAction):
    """Wait until the hammers rest, then examine the guest; answered by :class:`HammersRested` and :class:`Looked`, or
    by :class:`LookFailed`."""


@dataclass(frozen=True, slots=True)
class LookAtStall(WatchAction):
    """See what QEMU does while its monitor is silent; answered by :class:`StallSeen`."""


@dataclass(frozen=True, slots=True)
class AbandonCommands(WatchAction):
    """Book the commands in flight as unanswered."""


@dataclass(frozen=True, slots=True)
class CountHealthy(WatchAction):
    """*ended* bring-ups of a series ended well; *count* of them are wanted."""

    count: int
    ended: int


@dataclass(frozen=True, slots=True)
class WakeAt(WatchAction):
    """Send a :class:`Tick` at *at_s* (monotonic seconds) at the latest; the last one said holds."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Decide(WatchAction):
    """The bring-up has come to *verdict*; *rig_reason* labels one that is our own or the host's fault."""

    verdict: Verdict
    rig_reason: str = ""
