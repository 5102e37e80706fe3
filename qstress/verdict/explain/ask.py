"""What to collect next, in words that can be typed: chosen by what the picture lacks."""

from __future__ import annotations

from qstress.verdict.explain.picture import Picture
from qstress.verdict.vcpu import VcpuRole

DUMP = (
    "the output of 'info registers -a' in QEMU's monitor "
    "(libvirt: virsh qemu-monitor-command DOMAIN --hmp 'info registers -a')"
)
ALL_VCPUS = "'info registers -a': every vCPU, with its number"
WHOLE_DUMP = "the dump as a whole, with its lines EIP=… HLT=…, CS = and CR0="
SECOND_DUMP = "another 'info registers -a' some seconds later: only looks apart in time tell a hang from a moment"
NO_SECOND_LOOK = f"{SECOND_DUMP}; the dump that comes again here is a copy, one look"
STATUS = "'info status': whether the guest runs or is paused"
THREADS = "the CPU time of each vCPU thread over some seconds (top -H -p PID)"
HOST_LOG = "QEMU's log and the host's kernel log of that moment, and both versions"
RUN = "the run state says that the guest is paused: 'cont', then two dumps some seconds apart"


def to_collect(picture: Picture, *wishes: str) -> tuple[str, ...]:
    """Return *wishes* without those that *picture* fulfils already, after what any judgement of it would need."""
    boot_cpu_shown = any(look.role is VcpuRole.BSP for look in picture.latest())
    asked = [ALL_VCPUS] if picture.dumps and not boot_cpu_shown else []
    for wish in wishes:
        fulfilled = (wish == STATUS and picture.words.status) or (wish == THREADS and picture.usage)
        if wish not in asked and not fulfilled:
            asked.append(wish)
    if picture.words.paused and SECOND_DUMP in asked:
        asked[asked.index(SECOND_DUMP)] = RUN
    return tuple(asked)


def beyond_copies(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return *asked* with the wish for a second look, and why the copy of a dump is none."""
    others = tuple(wish for wish in asked if wish != SECOND_DUMP)
    return asked if RUN in asked else (NO_SECOND_LOOK, *others)


def code_around(eip: int, around: int) -> str:
    """Return the wish for the code around *eip*: *around* bytes before and after."""
    return (
        f"'xp /{2 * around}xb {max(0, eip - around):#x}': the code that CPU#0 runs shows whether it waits for its APs"
    )
