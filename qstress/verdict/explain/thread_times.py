"""A living guest without a look at its registers: QEMU's run state and the CPU time of its vCPU threads.

Both disturb no vCPU, and neither tells where a vCPU is: a lost AP sleeps as a parked one does, and a boot CPU that
waits burns as one that works.
"""

from __future__ import annotations

from collections.abc import Sequence

from qstress.model import Confidence, ThreadUsage
from qstress.verdict.examination import SLEEPS_BELOW
from qstress.verdict.explain.picture import DumpVerdict, Explanation
from qstress.verdict.vcpu import VcpuLook, look_names

#: What to do when nothing but registers can tell.
ASK_DUMP = "the same with --dump: two register dumps (under KVM a dump lets a pending INIT take effect)"


def explain_without_dump(status: str, indices: Sequence[int], usage: Sequence[ThreadUsage]) -> Explanation:
    """Return what can be said of a guest by its run state and thread times alone.

    :param status: QEMU's run state, as ``query-status`` names it.
    :param indices: its vCPUs.
    :param usage: their threads over some time; empty where ``/proc`` does not tell.
    """
    looks = tuple(VcpuLook(index) for index in sorted(indices))
    if status == "internal-error":
        return Explanation(
            DumpVerdict.STOPPED_BY_KVM, Confidence.CERTAIN, looks, ("QEMU's run state is internal-error",), (ASK_DUMP,)
        )
    if status == "prelaunch":
        return Explanation(
            DumpVerdict.RESET_VECTOR,
            Confidence.CERTAIN,
            looks,
            ("QEMU's run state is prelaunch: not started, or reset while paused, and nothing has run since",),
        )
    if status != "running":
        because = f"the guest is paused ({status}): nothing can move until it runs"
        return Explanation(DumpVerdict.INCONCLUSIVE, Confidence.INCONCLUSIVE, looks, (because,), (ASK_DUMP,))
    if awake := [thread.index for thread in usage if thread.share >= SLEEPS_BELOW]:
        who = look_names(look for look in looks if look.index in awake)
        because = f"{who} used CPU time; whether it works or spins, only its registers tell"
        return Explanation(DumpVerdict.BUSY, Confidence.LIKELY, looks, (because,), (ASK_DUMP,))
    because = "no vCPU used CPU time: idle or hung" if usage else "the CPU time of the vCPU threads could not be read"
    return Explanation(DumpVerdict.INCONCLUSIVE, Confidence.INCONCLUSIVE, looks, (because,), (ASK_DUMP,))
