"""A survey as text and as JSON (pure)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from qstress.model import Smm
from qstress.report.wording import duration, rate
from qstress.survey.answers import Answer, RaceCount, Races, Row
from qstress.survey.job import Survey

#: Who is in no danger, and why.
NOT_IN_DANGER = (
    "Not in danger: guests under TCG, whose state is QEMU's own: nothing is read from a kernel and written back over "
    "what has changed there; and guests with kernel-irqchip=off, whose APICs are QEMU's own: KVM holds no INIT that a "
    "write-back could make it forget."
)
#: When a command of each answer is dangerous.
WHEN: dict[Answer, str] = {
    Answer.SAFE: "never: it touches no vCPU",
    Answer.ONE: "while a guest's CPUs are brought up, if the vCPU that it is about is not CPU 0 "
    "(a CPU number in it, cpu-index, or the monitor's cpu N)",
    Answer.ALL: "while a guest's CPUs are brought up: from power-on or reset until its system runs, and whenever it "
    "brings a CPU online",
    Answer.RESETS: "not by itself: it writes at reset level, and what comes next is a bring-up",
    Answer.NOT_TRIED: "unknown",
}
_HEADINGS = {
    Answer.ALL: "every vCPU is read and written back", Answer.ONE: "one vCPU is read and written back",
    Answer.RESETS: "written at reset level", Answer.NOT_TRIED: "not tried", Answer.SAFE: "safe: no vCPU is touched",
}  # fmt: skip


def survey_json(survey: Survey) -> dict[str, Any]:
    """Return *survey* as ``survey --format json`` prints it."""
    return {
        "build": survey.build.binary, "version": survey.build.version, "smm": survey.build.smm.value,
        "controls": survey.controls, "loud": list(survey.loud), "took_s": round(survey.took_s, 1),
        "not_in_danger": NOT_IN_DANGER, "held_out": survey.held_out.document() if survey.held_out else None,
        "commands": [{**row.document(), "dangerous": WHEN[row.answer]} for row in survey.rows],
    }  # fmt: skip


def survey_text(survey: Survey) -> str:
    """Return *survey* as lines of text, the dangerous commands first."""
    lines = [f"{survey.build.binary}: {survey_headline(survey)}", *survey.loud]
    for answer, heading in _HEADINGS.items():
        rows = [row for row in survey.rows if row.answer is answer]
        if not rows:
            continue
        lines += ["", f"{heading} ({len(rows)}); dangerous {WHEN[answer]}"]
        if answer is Answer.SAFE:
            lines += [f"  {via}: {', '.join(row.command for row in rows if row.via == via)}" for via in ("hmp", "qmp")]
        else:
            lines += [f"  {row.via} {row.command}: {row_words(row)}" for row in rows]
    held_out = [f"with nothing sent: {_races(survey.held_out)}"] if survey.held_out else []
    return "\n".join([*lines, "", *held_out, NOT_IN_DANGER])


def monitoring_text(survey: Survey) -> str:
    """Return of each command of somebody's monitoring when it is dangerous, and what was seen of it."""
    lines = [f"{survey.build.binary}: {survey_headline(survey)}", *survey.loud]
    for row in survey.rows:
        lines += [f"{row.command}: {row.answer}", f"  dangerous {WHEN[row.answer]}", f"  seen: {row_words(row)}"]
    return "\n".join([*lines, "", NOT_IN_DANGER])


def survey_headline(survey: Survey) -> str:
    """Return what was surveyed, how many commands have which answer, and how many looks at nothing saw nothing."""
    counts = Counter(row.answer for row in survey.rows)
    told = ", ".join(f"{counts[answer]} {answer}" for answer in _HEADINGS if counts[answer])
    smm = " (SMM pretended)" if survey.build.smm is Smm.PRETENDED else ""
    return (
        f"QEMU {survey.build.version}{smm}: {told}; with nothing sent, nothing seen "
        f"{survey.controls - len(survey.loud)} of {survey.controls} times; {duration(survey.took_s)}"
    )


def row_words(row: Row) -> str:
    """Return what is known of one command, in a line."""
    words = [row.why]
    if row.window_s:
        words.append(f"open for {_ms(row.window_s[0])}, p99 {_ms(row.window_s[1])}")
    if row.written and not row.smm and row.answer is not Answer.RESETS:
        words.append("without the SMM part")
    if row.races:
        words.append(_races(row.races))
    if row.untried:
        words.append(f"the race was not tried: {row.untried}")
    return "; ".join(words)


def _races(races: Races) -> str:
    return (
        f"lost INIT {_count(races.lost)}, APs held {_count(races.held_lost)}; "
        f"replayed {_count(races.replayed)}, held {_count(races.held_replayed)}"
    )


def _count(count: RaceCount) -> str:
    return rate(count.k, count.n)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2g} ms"
