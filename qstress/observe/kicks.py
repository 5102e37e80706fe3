"""How hard the vCPUs of a guest are kicked, from two looks at what QEMU, KVM and the interposer count anyway."""

from __future__ import annotations

import time
from dataclasses import dataclass

from qstress.errors import GuestError
from qstress.guest.live import Guest
from qstress.interposer.log import WindowLog
from qstress.model import StormCount

_EXITS = {"target": "vcpu", "providers": [{"provider": "kvm", "names": ["exits"]}]}


@dataclass(frozen=True, slots=True)
class KickLook:
    """One look: when (monotonic seconds), run-time write-backs and exits so far (None: not told)."""

    at_s: float
    write_backs: int | None
    exits: int | None


async def kicks_so_far(guest: Guest, log: WindowLog, *, timeout_s: float) -> KickLook:
    """Look at *guest*. Costs each vCPU a kick of its own in QEMU 7.2, where ``query-stats`` runs on the vCPUs' threads
    (kvm-all.c:4112), none from 10.0 on: look before and after what is measured, not meanwhile."""
    counters = log.counters()
    exits = await _exits(guest, timeout_s)
    return KickLook(time.monotonic(), None if counters is None else counters.runtime, exits)


def kicks_between(first: KickLook, second: KickLook, churn: StormCount | None = None) -> StormCount:
    """Return what kicked the vCPUs between two looks, with what *churn* moved."""
    return StormCount(
        seconds=second.at_s - first.at_s,
        moves=churn.moves if churn else 0,
        migrations=churn.migrations if churn else None,
        write_backs=_grown(first.write_backs, second.write_backs),
        exits=_grown(first.exits, second.exits),
    )


async def _exits(guest: Guest, timeout_s: float) -> int | None:
    """Ask for the sum over all vCPUs; None without KVM, before QEMU 7.1 and where the monitor does not answer."""
    try:
        reply = await guest.control.execute("query-stats", _EXITS, timeout_s=timeout_s)
    except GuestError:
        return None
    if not isinstance(reply, list) or not reply:
        return None
    return sum(int(each["value"]) for vcpu in reply for each in vcpu["stats"])


def _grown(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else second - first
