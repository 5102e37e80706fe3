"""``qstress check``: a verdict on one QEMU binary without statistics, in one boot and a few forced bring-ups.

Two questions. *SMI write-back*: does a run-time ``KVM_SET_VCPU_EVENTS`` carry the SMM part, which makes the kernel
forget a pending INIT (``lost-init``)? One boot with a few forced synchronisations shows the flags of every write.
*INIT replay*: does an AP run the firmware from the reset vector when INIT and SIPI arrive just before its state is
read? Bring-ups that settle before INIT, with the reads held back, raise the odds. Neither answer ever says "fixed":
only what was seen, and what that excludes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from qstress.config.binary import find_binary, qemu_version
from qstress.config.kvm import probe
from qstress.errors import GuestError, RigError
from qstress.firmware import SMPSCAN
from qstress.guest.live import live_guest
from qstress.host.bringups import settled_bringups
from qstress.host.sandbox import has_sandbox
from qstress.interposer import build as interposer
from qstress.interposer.log import Counters, open_log, read_counters
from qstress.model import Accel, Build, Shape, Smm
from qstress.report.wording import percent_up, rate
from qstress.stats.intervals import upper_limit

SYNCHRONISATIONS = 20
READ_HOLD_S = 0.001
BRINGUPS = 100
#: Of 7.2.22, 10.0.13, 10.2.2 and 11.1.3 (docs/background/cure-and-survey.md, "What to weigh"), and on a busy host.
_USUAL = "unpatched in 6 to 60 %"
_BOOT_TIMEOUT_S = 60.0
_NO_APIC = "with kernel-irqchip=off KVM has no APIC, and so no INIT that a write-back could make it forget"
_NO_SMM = "this host's KVM has no SMM, so QEMU never sets the flag; --pretend-smm would ask QEMU's own code"


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """What was found out about one question: ``bad`` None means that it could not be told; ``line`` says it all."""

    bad: bool | None
    line: str


def build_under_check(binary: str, accel: str, arguments: Sequence[str], *, pretend_smm: bool) -> tuple[Build, Accel]:
    """Return the build to check and the accelerator to do it with (``auto``: KVM where it can be used).

    :raises RigError: there is no such QEMU, or KVM is asked for and cannot be used.
    """
    kvm = probe()
    if accel == "kvm" and not kvm.usable:
        raise RigError(f"KVM cannot be used: {kvm.reason}", reason="no-kvm")
    chosen = Accel.KVM if kvm.usable and accel != "tcg" else Accel.TCG
    smm = Smm.PRETENDED if pretend_smm else Smm.REAL if kvm.smm else Smm.NONE
    path = find_binary(binary, Path.cwd())
    build = Build("checked", str(path), qemu_version(path, {}), "", tuple(arguments), (), smm)
    return build, chosen


def smi_answer(counters: Counters | None, accel: Accel, smm: Smm) -> CheckAnswer:
    """Return what the run-time writes of one boot say.

    :param counters: of that boot, None where KVM had no part in it.
    :param smm: what QEMU believed of SMM in KVM.
    """
    told = "SMI write-back: "
    if accel is not Accel.KVM or counters is None:
        return CheckAnswer(None, told + "cannot tell: without KVM there is no state to write back")
    if counters.reset == 0:
        return CheckAnswer(None, told + "cannot tell: the interposer saw nothing (a static or setuid binary?)")
    if counters.runtime == 0:
        return CheckAnswer(None, told + "cannot tell: no state was written back at run time (kernel-irqchip=off?)")
    pretended = " (SMM pretended)" if smm is Smm.PRETENDED else ""
    seen = f"{counters.runtime_passed} of {counters.runtime} run-time writes carried the SMM part{pretended}"
    if counters.runtime_passed:
        return CheckAnswer(True, f"{told}unguarded: {seen}")
    if smm is Smm.NONE:
        return CheckAnswer(None, f"{told}cannot tell: {_NO_SMM}")
    return CheckAnswer(False, f"{told}guarded: {seen}")


def replay_answer(seen: int, bringups: int) -> CheckAnswer:
    """Return what *bringups* forced bring-ups say, of which *seen* replayed an INIT."""
    if not bringups:
        return CheckAnswer(None, "INIT replay: cannot tell: no bring-up came to an end, or there is no KVM")
    if seen:
        return CheckAnswer(True, f"INIT replay: seen {rate(seen, bringups)}")
    excluded = percent_up(upper_limit(0, bringups, 0.05))
    return CheckAnswer(
        False, f"INIT replay: not seen in {bringups} settled bring-ups: in < {excluded} % (95 %); {_USUAL}"
    )


def check_exit_code(answers: tuple[CheckAnswer, ...]) -> int:
    """Return 1 when either is bad, 0 when both are good, 5 when one cannot be told."""
    if any(answer.bad for answer in answers):
        return 1
    return 5 if any(answer.bad is None for answer in answers) else 0


async def run_check(
    build: Build, accel: Accel, *, machine: str = "pc", bringups: int = BRINGUPS
) -> tuple[CheckAnswer, ...]:
    """Boot *build* once, bring it up *bringups* times with held reads; return both answers.

    :raises RigError: it cannot be booted here at all.
    """
    shape = Shape(2, machine, accel, 32 << 20, SMPSCAN.name)
    if accel is not Accel.KVM:
        return smi_answer(None, accel, build.smm), replay_answer(0, 0)
    if "kernel-irqchip=off" in " ".join((machine, *build.args)):  # 7.2 then does not even answer its monitor here
        questions = ("SMI write-back", "INIT replay")
        return tuple(CheckAnswer(None, f"{question}: cannot tell: {_NO_APIC}") for question in questions)
    sandbox = has_sandbox(build)
    counters = await _one_boot(build, shape, sandbox)
    forced = replace(build, hold_write_s=0.0, hold_read_s=READ_HOLD_S, hold_until_checkin_s=0.0)
    seen = await settled_bringups(forced, bringups, machine=machine, sandbox=sandbox) if bringups else None
    return smi_answer(counters, accel, build.smm), replay_answer(seen.replayed, seen.n) if seen else replay_answer(0, 0)


async def _one_boot(build: Build, shape: Shape, sandbox: bool) -> Counters:
    log_fd = open_log()
    try:
        env = {**dict(build.env), **interposer.environment(build, log_fd)}
        changed = [anyio.Event()]
        async with live_guest(
            build, shape, env=env, sandbox=sandbox, on_change=lambda: changed[0].set(), pass_fds=(log_fd,)
        ) as guest:
            await guest.cont()
            with anyio.move_on_after(_BOOT_TIMEOUT_S):
                while guest.console.log.found is None and guest.process.returncode is None:
                    await changed[0].wait()
                    changed[0] = anyio.Event()
            for _ in range(SYNCHRONISATIONS):
                await guest.control.hmp("info registers -a", timeout_s=_BOOT_TIMEOUT_S)
            return read_counters(log_fd)
    except* GuestError as group:
        died = group.exceptions[0]
    finally:
        os.close(log_fd)
    raise RigError(f"{build.binary}: it does not stay alive for a check: {died}") from died
