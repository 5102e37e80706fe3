"""A finding of a fuzzing session as a ``bug.md`` (pure: what its folder holds in, text out)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qstress.fuzz.judge import oracle_of
from qstress.fuzz.oracles.oracle import Oracle
from qstress.fuzz.recording import Recording
from qstress.fuzz.script import CALLS_QSTRESS, sent_lines
from qstress.report.bug_report import BugReport, bug_text, code_block, not_as_in_production
from qstress.report.wording import rate

#: More messages than this are left to the script.
_SHOWN_LINES = 40
_SCRIPT = (
    "It needs a shell and QEMU, nothing else. It starts QEMU with the command line above and both monitors on named "
    "pipes, sends what is listed above, and waits for each reply. It has no sandbox: read what it sends first."
)
#: Commands after which a guest may run; '' is one that is none.
_MAY_RUN = {"", "cont", "c", "system_reset", "system_wakeup", "loadvm", "snapshot-load", "migrate-incoming"}


def finding_bug(
    recording: Recording, finding: Mapping[str, Any], *, script: str, stacks: str, run: Mapping[str, Any]
) -> str:
    """Return the text.

    :param finding: the content of ``finding.json``.
    :param script: its ``repro.sh``.
    :param stacks: of QEMU's threads; '' where they are not known or tell nothing.
    :param run: the content of the session's ``run.json``, empty where it is not there.
    """
    oracle = oracle_of(recording.kind)
    lines = sent_lines(recording)
    sent = lines[-_SHOWN_LINES:] if len(lines) > _SHOWN_LINES else lines
    more = f" (the last {_SHOWN_LINES} of {len(lines)}; all are in the script)" if len(lines) > _SHOWN_LINES else ""
    qemu = run.get("qemu", {})
    found_on = qemu if qemu.get("binary") == recording.binary else {}
    alone = CALLS_QSTRESS not in script
    return bug_text(
        BugReport(
            title=recording.title,
            host=run.get("host", {}),
            version=recording.version,
            sha256=found_on.get("sha256", ""),
            command=(recording.binary, *recording.arguments),
            guest="none: the guest need not run (QEMU is started with -S)",
            description=[
                f"QEMU fails at monitor commands. On a QMP monitor and a human one it is sent{more}:",
                code_block("\n".join(sent)),
                f"Then: {recording.title}.",
                *not_as_in_production([f"QEMU's environment has {name}={value}" for name, value in recording.env]),
            ],
            expected=f"{oracle.expected}.",
            often=_often(finding),
            steps=_steps(oracle, recording, alone=alone),
            script=script if alone else "",
            because=tuple(finding["because"]),
            is_not=_is_not(recording, alone=alone),
            stacks=stacks,
        )
    )


def _often(finding: Mapping[str, Any]) -> str:
    if not finding["tried"]:
        return f"seen {finding['count']} time(s) by fuzzing; it was not tried again yet"
    shown = f"{rate(finding['shown'], finding['tried'])} of replays (k/n with exact 95 % limits)"
    return f"{shown}; seen {finding['count']} time(s) by fuzzing{'; ' + finding['sure'] if finding['sure'] else ''}"


def _steps(oracle: Oracle, recording: Recording, *, alone: bool) -> list[str]:
    if not alone:
        return [
            f"{oracle.shell_refusal} So this needs qstress: `qstress repro FOLDER` plays its evidence, and says k/n."
        ]
    count = "k=0; for i in 1 2 3 4 5 6 7 8 9 10; do sh repro.sh && k=$((k+1)); done; echo $k of 10"
    return [
        f"Save the script at the end of this report as `repro.sh`. {_SCRIPT}",
        f"`sh repro.sh {recording.binary}`, or another QEMU. To count: `{count}`",
        f"It ends with 0 when this shows: {oracle.shell_shows}.",
    ]


def _is_not(recording: Recording, *, alone: bool) -> list[str]:
    begun = {send.command.partition(" ")[0] for send in recording.sends}
    told = [] if begun & _MAY_RUN else ["not the guest's doing: nothing told it to run"]
    return [*told, *(["not qstress's sandbox or its limits on memory: the script has none"] if alone else [])]
