"""The words of qstress as frozen types (no behaviour beyond small derived properties).

Every type pickles and compares by value, so that a trial can be sent to another process and its result back.
Times ending in ``_s`` are seconds; those named ``at_s`` are on the monotonic clock of the host that measured them,
counted from the guest's ``cont`` unless stated otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum


class Accel(StrEnum):
    """The accelerator QEMU runs with."""

    KVM = "kvm"
    TCG = "tcg"


class Smm(StrEnum):
    """What QEMU believes about SMM in KVM: has it, was told so by the interposer, or has none."""

    REAL = "real"
    PRETENDED = "pretended"
    NONE = "none"


class SmmWriteback(StrEnum):
    """What the interposer does to the SMM part of ``KVM_SET_VCPU_EVENTS``."""

    AS_IS = "as-is"
    RESET_ONLY = "reset-only"  # imitates the fix proposed on qemu-devel, 2025-09-09


class Tier(StrEnum):
    """How far a number is from production (docs/architecture.md, "Tiers")."""

    T0 = "T0"  # as production runs it
    T1 = "T1"  # only load, placement and pace differ
    T2 = "T2"  # a delay where a preemption could fall as well
    T3 = "T3"  # other guest code
    T4 = "T4"  # a model: the fault is injected


class Outcome(StrEnum):
    """What became of a trial. ``UNKNOWN`` and ``RIG`` never enter a rate."""

    OK = "ok"
    HANG = "hang"
    CRASH = "crash"
    MONITOR_STALL = "monitor-stall"
    GUEST_PANIC = "guest-panic"
    RESTART = "restart"
    UNKNOWN = "unknown"
    RIG = "rig"

    @property
    def counted(self) -> bool:
        """Whether a trial that ended so is one of the n of a rate (docs/architecture.md, "What is counted")."""
        return self not in (Outcome.UNKNOWN, Outcome.RIG)

    @property
    def finding(self) -> bool:
        """Whether a trial that ended so is a finding about the thing under test."""
        return self.counted and self is not Outcome.OK


class FindingClass(StrEnum):
    """The kind of a finding: a closed set, the label of metrics and the unit of comparison."""

    LOST_INIT = "lost-init"  # an AP never left its reset vector while the BSP spins after INIT/SIPI
    REPLAYED_INIT = "replayed-init"  # an AP ran the firmware from the reset vector
    BSP_SPIN = "bsp-spin"  # every AP came up, the BSP still waits
    CURED_BY_LOOKING = "cured-by-looking"  # it was stuck and moved once dumps kicked it
    MISSING_CPU = "missing-cpu"  # the guest's kernel goes on, with fewer CPUs than it should have
    AP_LOST_LATER = "ap-lost-later"  # an AP that had come up stopped answering
    ALL_HALTED = "all-halted"  # every vCPU is halted, and nothing will wake one
    LIVELOCK = "livelock"  # the vCPUs run the same few addresses for ever
    RESET_LOOP = "reset-loop"  # the guest restarts again and again
    HANG_OTHER = "hang-other"  # no progress, and none of the named pictures
    GUEST_PANIC = "guest-panic"
    MONITOR_STALL = "monitor-stall"
    CRASH = "crash"
    HOST_KERNEL = "host-kernel"  # the host's kernel complained; never mixed with guest hangs


class Confidence(StrEnum):
    """How sure a verdict is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    INCONCLUSIVE = "inconclusive"


class Milestone(IntEnum):
    """How far a boot has come, in order. What SeaBIOS prints then is said here (docs/background/qemu.md, "SeaBIOS's
    debug console"); another firmware has lines of its own, or none for some."""

    START = 0  # ``cont`` was sent, nothing printed yet
    BANNER = 1  # ``SeaBIOS (version``
    PCI = 2  # PCI devices initialised: the last line before ``smp_scan``
    CHECKIN = 3  # the first ``handle_smp: apic_id=``
    FOUND = 4  # ``Found N cpu(s)``: all vCPUs are up
    BOOT = 5  # ``Booting from`` or ``No bootable device``


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a hammer sends: ``interval_s`` is the time between two sends, None for ``max`` (the next command
    follows the reply). ``text`` is what the user wrote, for labels and reports."""

    interval_s: float | None
    text: str


class Kick(StrEnum):
    """What makes QEMU or KVM kick all vCPUs and takes more than one command, or arguments that only we know."""

    STOP_CONT = "stop-cont"
    DIRTY_LOG = "dirty-log"  # a migration to a scratch file, cancelled before it can end
    DUMP_MEMORY = "dump-memory"  # dump-guest-memory to a scratch file
    MIGRATE = "migrate"  # stopped, migrated whole to a scratch file, and resumed as a source that keeps its guest


@dataclass(frozen=True, slots=True)
class HammerSpec:
    """One paced stream of monitor commands.

    ``via`` is ``"hmp"`` (sent through ``human-monitor-command``), ``"qmp"`` or ``"kick"`` (then ``command`` is one of
    :class:`Kick`); ``arguments`` is the JSON text of a QMP command's arguments. ``mix`` holds HMP lines with weights:
    each time one of them is drawn, and ``command`` is no more than their label. A ``K`` in an HMP line is a vCPU drawn
    anew each time. The hammer runs from milestone ``start`` until milestone ``until`` is reached.
    """

    command: str
    via: str
    rate: Rate
    arguments: str = "{}"
    start: Milestone = Milestone.START
    until: Milestone = Milestone.BOOT
    mix: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> str:
        """The hammer in a few words, as shown in reports: ``info registers -a @ every 2ms``."""
        return f"{self.command} @ {self.rate.text}"

    @property
    def varies(self) -> bool:
        """Whether it does not send one command, always the same."""
        return self.via == "kick" or bool(self.mix) or (self.via == "hmp" and "K" in self.command.split())


@dataclass(frozen=True, slots=True)
class ChurnSpec:
    """How QEMU's threads are moved between the host's CPUs: so many moves a second, or ``burst`` moves at each of some
    milestones. ``text`` is what the user wrote."""

    text: str
    rate_hz: float | None = None
    burst: int = 0
    at: tuple[Milestone, ...] = ()


@dataclass(frozen=True, slots=True)
class StormCount:
    """What moved and kicked the vCPUs of one guest in ``seconds``.

    ``moves`` were asked for; ``migrations`` are those the kernel counted for these threads (its own among them).
    ``write_backs``: how often QEMU wrote a vCPU's state back at run time, which follows each kick that reads registers.
    ``exits``: how often the vCPUs came out of the guest. None where the host or QEMU does not tell.
    """

    seconds: float
    moves: int = 0
    migrations: int | None = None
    write_backs: int | None = None
    exits: int | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """One QEMU under test, resolved: what runs, what it says it is, and what the interposer does to it.

    ``binary`` is an absolute path, ``sha256`` its hash, ``version`` the x.y.z it prints. ``lost_ap_share`` is the
    share of trials in which a fault is injected that looks like a lost AP (0: none; tier T4), and ``fault`` which
    (``firmware.base.ApFault``). ``hold_write_s`` and
    ``hold_read_s`` say how long the interposer keeps an AP before its state is written back or read (0: not; tier T2),
    ``hold_until_checkin_s`` how long at most the first AP about to be written back waits for another one to wake.
    """

    name: str
    binary: str
    version: str
    sha256: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    smm: Smm = Smm.NONE
    smm_writeback: SmmWriteback = SmmWriteback.AS_IS
    lost_ap_share: float = 0.0
    fault: str = "never-woken"
    hold_write_s: float = 0.0
    hold_read_s: float = 0.0
    hold_until_checkin_s: float = 0.0

    @property
    def interposed(self) -> bool:
        """Whether the LD_PRELOAD interposer has to be loaded into this QEMU."""
        return self.smm is Smm.PRETENDED or self.smm_writeback is not SmmWriteback.AS_IS or self.held

    @property
    def held(self) -> bool:
        """Whether APs are kept between the reading and the writing back of their state, or before the reading."""
        return self.hold_write_s > 0 or self.hold_read_s > 0 or self.hold_until_checkin_s > 0

    @property
    def fix_imitated(self) -> bool:
        """Whether this build's fix is the interposer's imitation and not QEMU's own code."""
        return self.smm_writeback is SmmWriteback.RESET_ONLY


@dataclass(frozen=True, slots=True)
class LinuxGuest:
    """The kernel that a guest boots behind its firmware: an absolute path, the release, what is appended to its command
    line, an initramfs (empty: ours), and how often ours takes all CPUs but the first off and on again."""

    kernel: str
    release: str
    append: str = ""
    initrd: str = ""
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """The guest's shape: what all builds of a stratum boot alike. ``placement`` is a tier T1 amplifier.

    ``restart`` says how the next trial of a lane begins, ``process_trials`` how many trials a process-run has (1 with
    ``restart: process``): the unit of the statistics. ``storm_s`` is how long smpscan's CPUs interrupt each other after
    each bring-up and before the reset (0: not), ``settle_s`` how long its boot CPU waits before it wakes the others.
    """

    smp: int
    machine: str
    accel: Accel
    memory_bytes: int
    firmware: str  # a firmware's name, or an absolute path given to -bios (``qstress.firmware.firmware_of``)
    args: tuple[str, ...] = ()
    placement: str = "none"  # none | bsp-alone | spread
    restart: str = "process"  # process | reset
    process_trials: int = 1
    observe: str = "console"  # console | none: judged from the monitor alone, and not paused at its start
    storm_s: float = 0.0
    settle_s: float = 0.0
    pflash: tuple[str, ...] = ()  # of a firmware in flash: absolute paths of its code and of its variables' template
    linux: LinuxGuest | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """One of several machines that ran guests of a run: its name, and its kernel's release."""

    name: str
    kernel: str


@dataclass(frozen=True, slots=True)
class Stratum:
    """What two builds must share to be compared: shape, hammers, churn, and the host that ran their guests. ``host`` is
    None as planned, and where a run has no more than one."""

    shape: Shape
    hammers: tuple[HammerSpec, ...]
    churn: ChurnSpec | None = None
    host: Host | None = None

    @property
    def stormy(self) -> bool:
        """Whether how hard the vCPUs are kicked is of interest."""
        return self.churn is not None or self.shape.storm_s > 0 or any(hammer.varies for hammer in self.hammers)

    @property
    def hammer_label(self) -> str:
        """All hammers and the churn in one line; ``none`` where nothing disturbs the guest."""
        churn = [f"churn {self.churn.text}"] if self.churn else []
        return " + ".join([hammer.label for hammer in self.hammers] + churn) or "none"


@dataclass(frozen=True, slots=True)
class Cell:
    """One stratum of the statistics: build x shape x hammers x host."""

    build: Build
    stratum: Stratum

    def on(self, host: Host | None) -> Cell:
        """Return this cell on *host*; on None: as planned."""
        return self if host == self.stratum.host else replace(self, stratum=replace(self.stratum, host=host))


@dataclass(frozen=True, slots=True)
class Trial:
    """One bring-up of one guest, planned: its number in the run, its block, its cell and its seed."""

    number: int
    block: int
    cell_index: int
    cell: Cell
    seed: int
    inject_lost_ap: bool = False


@dataclass(frozen=True, slots=True)
class VcpuState:
    """What one dump says of one vCPU. ``eip`` and ``cs_base`` as printed (32 or 64 bits wide)."""

    index: int
    eip: int
    cs_selector: int
    cs_base: int
    halted: bool
    smm: bool
    interrupts: bool  # EFLAGS.IF

    @property
    def at_reset_vector(self) -> bool:
        """EIP=fff0 with CS=f000 and base ffff0000: where x86 starts, and where a lost AP stays."""
        return self.eip == 0xFFF0 and self.cs_selector == 0xF000 and self.cs_base & 0xFFFFFFFF == 0xFFFF0000

    @property
    def linear_address(self) -> int:
        """The linear address that it executes."""
        return self.cs_base + self.eip


@dataclass(frozen=True, slots=True)
class Observation:
    """One parsed reply: when it came and one state per vCPU, in ascending index."""

    at_s: float
    vcpus: tuple[VcpuState, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ThreadUsage:
    """What one vCPU thread did between two looks at ``/proc``: CPU seconds used in ``wall_s`` seconds."""

    index: int  # vCPU index
    tid: int
    cpu_s: float
    wall_s: float
    state: str  # R, S, D, T, … at the second look
    wchan: str = ""

    @property
    def share(self) -> float:
        """CPU time used as a share of the wall time, 0.0 to about 1.0."""
        return self.cpu_s / self.wall_s if self.wall_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class WaitLoop:
    """The firmware's wait for its APs, found by its bytes: the boot CPU, at ``address``, waits for ``expected``, has
    ``found``. ``later``: they had come before and are woken again; ``unwoken`` did not wake, as far as that is told."""

    expected: int
    found: int
    address: int
    later: bool = False
    unwoken: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandCount:
    """What became of a hammer's commands in one trial (the ``result`` label of the metrics), and how long it ran."""

    command: str
    returned: int = 0
    errors: int = 0
    timeouts: int = 0
    lost: int = 0
    hammered_s: float = 0.0
    due: int = 0  # commands that the pace asked for in that time; equals the sent ones for ``max``

    @property
    def total(self) -> int:
        """All commands that were sent."""
        return self.returned + self.errors + self.timeouts + self.lost


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a trial, how sure that is, and why, one sentence a reason."""

    outcome: Outcome
    title: str
    finding_class: FindingClass | None = None
    signature: str = ""
    confidence: Confidence = Confidence.CERTAIN
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial, done. ``boot_s`` is from ``cont`` to all vCPUs up (None if that never came), ``detection_s`` from the
    last sign of progress to the verdict (None unless a finding), ``latencies`` counts replies per bucket of
    :data:`LATENCY_BUCKETS_S` (one more for the rest). ``duty_cycle`` is the share of the time up to the INIT in which
    some AP's state was read and not yet written back (None where the window log did not run). ``host`` is where its
    block ran, if a run has several places for blocks.
    """

    trial: Trial
    verdict: Verdict
    started_s: float  # since the run began
    duration_s: float
    boot_s: float | None = None
    detection_s: float | None = None
    commands: tuple[CommandCount, ...] = ()
    latencies: tuple[int, ...] = ()
    rig_reason: str = ""
    duty_cycle: float | None = None
    host: Host | None = None


#: Upper bounds of the reply-latency buckets, in seconds.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What convinces a sceptic, as bytes and plain values; the store writes it as files."""

    dumps: tuple[tuple[float, str], ...] = ()  # (at_s, register dump text), oldest first
    console: bytes = b""
    serial: bytes = b""
    commands: tuple[dict[str, object], ...] = ()  # one JSON object a line of commands.jsonl
    threads: tuple[ThreadUsage, ...] = ()
    wait_loop: WaitLoop | None = None
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    stderr: str = ""
    events: tuple[dict[str, object], ...] = ()
    notes: dict[str, object] = field(default_factory=dict)  # deadlines used, host load, …
    stacks: str = ""  # of every QEMU thread, where QEMU crashed or stood still
    journal: bytes = b""  # lines of JSON: all that the verdict was made of, to be judged again
