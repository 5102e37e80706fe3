"""Plans, results and evidence made up for the tests of the store."""

from __future__ import annotations

from qstress.model import (
    Accel,
    Build,
    Cell,
    CommandCount,
    Confidence,
    Evidence,
    FindingClass,
    HammerSpec,
    Outcome,
    Rate,
    Shape,
    Smm,
    SmmWriteback,
    Stratum,
    ThreadUsage,
    Trial,
    TrialResult,
    Verdict,
    WaitLoop,
)

HAMMER = HammerSpec("info registers -a", "hmp", Rate(0.002, "every 2ms"))
STRATUM = Stratum(Shape(4, "pc", Accel.KVM, 32 << 20, "seabios"), (HAMMER,))
BUILDS = (
    Build("stock", "/opt/qemu/bin/qemu-system-x86_64", "7.2.22", "ab" * 32, smm=Smm.PRETENDED),
    Build(
        "fix-imitated", "/opt/qemu/bin/qemu-system-x86_64", "7.2.22", "ab" * 32,
        args=("-cpu", "qemu64"), env=(("A", "b c"),), smm=Smm.PRETENDED, smm_writeback=SmmWriteback.RESET_ONLY,
    ),
)  # fmt: skip
LOST_INIT = Verdict(
    Outcome.HANG, "AP 2 never left its reset vector", FindingClass.LOST_INIT, "lost-init:1/4", Confidence.CERTAIN,
    ("EIP=0000fff0 in two dumps", "the boot CPU spins"),
)  # fmt: skip
NO_QEMU = Verdict(Outcome.RIG, "QEMU refused its arguments")


def trial_of(number: int) -> Trial:
    """A plan of two builds: blocks of two trials."""
    return Trial(number, number // 2, number % 2, Cell(BUILDS[number % 2], STRATUM), seed=number * 7)


def trials_of(block: int) -> tuple[Trial, ...]:
    """The trials of a block of that plan."""
    return (trial_of(2 * block), trial_of(2 * block + 1))


def result(number: int, verdict: Verdict | None = None, *, rig_reason: str = "") -> TrialResult:
    """A result that differs with *number*; healthy unless a *verdict* is given."""
    found = verdict is not None and verdict.outcome.finding
    return TrialResult(
        trial=trial_of(number),
        verdict=verdict or Verdict(Outcome.OK, "all 4 vCPUs came up", because=("Found 4 cpu(s)",)),
        started_s=number * 0.61234567,
        duration_s=0.6,
        boot_s=None if verdict else 0.4512345678,
        detection_s=3.25 if found else None,
        commands=(CommandCount("info registers -a", 250 + number % 50, hammered_s=0.5001, due=260),),
        latencies=(0, 0, 3, 240, 9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0),
        rig_reason=rig_reason,
    )


def evidence() -> Evidence:
    """Evidence with something in every field."""
    return Evidence(
        dumps=((1.5, "\r\nCPU#0\r\nEIP=000ee2e1\r\n"), (2.5, "\r\nCPU#0\r\nEIP=000ee2e3\r\n")),
        console=b"SeaBIOS (version 1.16.2)\n\xff\x00",
        commands=({"at_s": 0.1, "result": "return"}, {"at_s": 0.2, "result": "timeout"}),
        threads=(ThreadUsage(0, 101, 0.99, 1.0, "R"), ThreadUsage(2, 103, 0.0, 1.0, "S", "kvm_vcpu_block")),
        wait_loop=WaitLoop(4, 3, 0xEE2E1),
        argv=("/opt/qemu/bin/qemu-system-x86_64", "-smp", "4"),
        env=(("QSTRESS_INTERPOSE_SMM", "pretend"),),
        stderr="warning: é\n",
        events=({"event": "RESUME"},),
        notes={"deadline_s": 8.0, "load": [0.5, 0.4, 0.3]},
    )
