"""A finished bring-up as values: its result for the statistics, its evidence for a sceptic."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from qstress.model import Evidence, Milestone, Observation, TrialResult
from qstress.observe.usage import host_load
from qstress.report import timeline
from qstress.trial.bringup import Bringup
from qstress.verdict.signature import state_word


def result_of(bringup: Bringup) -> TrialResult:
    """Return what the statistics need of a bring-up that is over."""
    ended_s = time.monotonic()
    guest, began_s = bringup.guest, bringup.began_s
    found_s = guest.console.reached_s.get(Milestone.FOUND) if guest else None
    detection_s = None
    if guest is not None and bringup.verdict.outcome.finding and bringup.decided_s is not None:
        detection_s = max(0.0, bringup.decided_s - guest.console.progressed_s)
    return TrialResult(
        trial=bringup.trial,
        verdict=bringup.verdict,
        started_s=bringup.entered_s - bringup.bench.run_began_s,
        duration_s=ended_s - bringup.entered_s,
        boot_s=found_s - began_s if found_s is not None and began_s is not None else None,
        detection_s=detection_s,
        commands=bringup.commands(),
        latencies=bringup.latencies(),
        rig_reason=bringup.rig_reason,
        duty_cycle=bringup.duty_cycle,
    )


def evidence_of(bringup: Bringup) -> Evidence:
    """Return everything that convinces a sceptic; times count from the guest's ``cont``."""
    guest = bringup.guest
    assert guest is not None, "a finding needs a guest"
    zero_s = bringup.began_s or bringup.entered_s
    dumps = [(at_s - zero_s, _reply_text(reply)) for at_s, reply in bringup.replies]
    look = bringup.look
    commands: list[dict[str, object]] = []
    for hammer in bringup.hammers:
        commands += [
            {
                "command": hammer.spec.command,
                "due_s": round(sent.due_s - zero_s, 6),
                "sent_s": round(sent.sent_s - zero_s, 6),
                "replied_s": None if sent.replied_s is None else round(sent.replied_s - zero_s, 6),
                "reply_bytes": sent.reply_bytes,
            }
            for sent in hammer.log
        ]
    reached = {milestone.name.lower(): round(at_s - zero_s, 6) for milestone, at_s in guest.console.reached_s.items()}
    observations = [*bringup.observations, *((look.examination.before, look.examination.after) if look else ())]
    end_s = (bringup.decided_s or zero_s) - zero_s
    return Evidence(
        dumps=tuple(dumps) + (look.dumps if look else ()),
        console=guest.console.text,
        commands=tuple(commands),
        threads=look.examination.usage if look else (),
        wait_loop=look.examination.wait_loop if look else None,
        argv=guest.argv,
        env=tuple(sorted((bringup.bench.env or {}).items())),
        stderr=bringup.said,
        events=tuple(guest.events),
        notes={
            "limits": asdict(bringup.limits),
            "milestones_s": reached,
            "host": host_load(),
            "duty_cycle": bringup.duty_cycle,
            "states": states_over_time(bringup.observations),
            **(look.notes if look else {}),
            **timeline.facts(observations, bringup.recorded, zero_ns=bringup.zero_ns, end_s=end_s),
        },
    )


def states_over_time(observations: Iterable[Observation]) -> list[tuple[float, dict[str, int]]]:
    """Return when (seconds after ``cont``) the hammer's last replies began to show how many vCPUs in which state."""
    changes: list[tuple[float, dict[str, int]]] = []
    for seen in observations:
        counts = dict(sorted(Counter(state_word(vcpu) for vcpu in seen.vcpus).items()))
        if not changes or changes[-1][1] != counts:
            changes.append((round(seen.at_s, 6), counts))
    return changes


def _reply_text(reply: bytes) -> str:
    try:
        message = json.loads(reply)
    except ValueError:
        return reply.decode(errors="replace")
    text = message.get("return", message.get("error")) if isinstance(message, dict) else message
    return text if isinstance(text, str) else json.dumps(text)
