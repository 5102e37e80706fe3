"""A finished bring-up as values: its result for the statistics, its evidence for a sceptic."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from qstress.errors import RigError
from qstress.interposer.causes import duty_cycle_until_init
from qstress.interposer.windows import Log, bringup_began_ns
from qstress.model import CommandCount, Evidence, Milestone, Observation, Outcome, Trial, TrialResult, Verdict
from qstress.observe.usage import host_load
from qstress.report import timeline
from qstress.trial.bringup import Bringup
from qstress.trial.replies import HammerCounts
from qstress.verdict.signature import state_word


def result_of(
    bringup: Bringup, counts: HammerCounts, *, run_began_s: float, duty_cycle: float | None = None
) -> TrialResult:
    """Return what the statistics need of a bring-up that is over.

    :param counts: of its hammers, from its begin on.
    :param run_began_s: when the run began (monotonic seconds).
    """
    times, verdict = bringup.watch.times, bringup.verdict
    found_s = times.reached_s.get(Milestone.FOUND)
    detection_s = None
    if verdict.outcome.finding and times.decided_s is not None:
        detection_s = max(0.0, times.decided_s - times.progressed_s)
    return TrialResult(
        trial=bringup.trial,
        verdict=verdict,
        started_s=bringup.entered_s - run_began_s,
        duration_s=time.monotonic() - bringup.entered_s,
        boot_s=found_s - times.began_s if found_s is not None else None,
        detection_s=detection_s,
        commands=counts.commands(),
        latencies=counts.latencies(),
        rig_reason=bringup.watch.rig_reason,
        duty_cycle=duty_cycle,
    )


def rig_result(trial: Trial, error: RigError, *, entered_s: float, run_began_s: float) -> TrialResult:
    """Return what the statistics need of a trial whose guest did not even begin, because of *error*."""
    return TrialResult(
        trial=trial,
        verdict=Verdict(Outcome.RIG, str(error)),
        started_s=entered_s - run_began_s,
        duration_s=time.monotonic() - entered_s,
        commands=tuple(CommandCount(spec.command) for spec in trial.cell.stratum.hammers),
        latencies=HammerCounts(()).latencies(),
        rig_reason=error.reason,
    )


def bringup_duty_cycle(bringup: Bringup, log: Log) -> float | None:
    """Return the duty cycle D of the window log from the begin of the bring-up, or its last reset, to its INIT."""
    decided_s = bringup.watch.times.decided_s or 0.0
    zero_ns = max(bringup.watch.zero_ns, bringup_began_ns(log, 0))
    return duty_cycle_until_init(log, zero_ns=zero_ns, end_ns=round(decided_s * 1e9))


def evidence_of(
    bringup: Bringup, env: Mapping[str, str], log: Log | None, duty_cycle: float | None, stacks: str
) -> Evidence:
    """Return everything that convinces a sceptic; times count from the guest's ``cont``.

    :param env: what the interposer added to QEMU's environment; *log*: what it recorded.
    :param stacks: of QEMU's threads.
    """
    guest, watch, look = bringup.made.guest, bringup.watch, bringup.look
    zero_s = watch.times.began_s
    dumps = [(at_s - zero_s, _reply_text(reply)) for at_s, reply in bringup.replies.raw]
    own = (dump for dump in bringup.replies.dumps if dump.at_s >= zero_s)  # none of earlier bring-ups of a series
    seen = [replace(dump, at_s=dump.at_s - zero_s) for dump in own]
    looked = [look.examination.before, look.examination.after] if look else []
    reached = {milestone.name.lower(): round(at_s - zero_s, 6) for milestone, at_s in watch.times.reached_s.items()}
    end_s = (watch.times.decided_s or zero_s) - zero_s
    return Evidence(
        dumps=tuple(dumps) + (look.dumps if look else ()),
        console=guest.console.text,
        serial=guest.console.serial,
        commands=tuple(_commands(bringup, zero_s)),
        threads=look.examination.usage if look else (),
        wait_loop=look.examination.wait_loop if look else None,
        argv=guest.argv,
        env=tuple(sorted(env.items())),
        stderr=guest.process.said(),
        events=tuple(guest.events),
        notes={
            "limits": asdict(watch.settings.limits),
            "milestones_s": reached,
            "host": host_load(),
            "duty_cycle": duty_cycle,
            "states": states_over_time(seen),
            **(look.notes if look else {}),
            **timeline.facts([*seen, *looked], log, zero_ns=watch.zero_ns, end_s=end_s),
        },
        stacks=stacks,
        journal=bringup.journal.written(bringup.verdict),
    )


def _commands(bringup: Bringup, zero_s: float) -> Iterable[dict[str, object]]:
    for hammer in bringup.hammers:
        for sent in hammer.log:
            yield {
                "command": hammer.spec.command,
                "due_s": round(sent.due_s - zero_s, 6),
                "sent_s": round(sent.sent_s - zero_s, 6),
                "replied_s": None if sent.replied_s is None else round(sent.replied_s - zero_s, 6),
                "reply_bytes": sent.reply_bytes,
            }


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
