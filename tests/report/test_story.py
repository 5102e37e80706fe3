from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from qstress.model import (
    Confidence,
    Evidence,
    FindingClass,
    Outcome,
    Smm,
    SmmWriteback,
    ThreadUsage,
    TrialResult,
    Verdict,
    WaitLoop,
)
from qstress.report.story import finding_story
from tests.samples import build, trial

LOST = Verdict(
    Outcome.HANG, "lost INIT: CPU#1 never left the reset vector while CPU#0 spins", FindingClass.LOST_INIT, "x",
    Confidence.CERTAIN, ("CPU#1 at EIP=0000fff0 in two dumps", "a second reason that is " + "long " * 30),
)  # fmt: skip
FOUND = TrialResult(trial(7), LOST, 1.0, 1.5, detection_s=0.412)
QUIET = (ThreadUsage(0, 10, 0.029, 0.031, "R"), ThreadUsage(1, 11, 0.0, 0.031, "S", "kvm_vcpu_block"))


def seen(*, quiet: tuple[ThreadUsage, ...] = QUIET, **more: Any) -> Evidence:
    notes: dict[str, object] = {
        "milestones_s": {"banner": 0.05, "pci": 0.6}, "looks_s": [1.1, 1.2], "runstate": "running", "end_s": 1.25,
        "init": {"lower_s": 0.631, "upper_s": 0.6312, "windows": []}, "host": {"loadavg": "0.52 0.4 0.3 1/90 7"},
        "quiet": [asdict(thread) for thread in quiet],
    }  # fmt: skip
    return Evidence(wait_loop=WaitLoop(4, 3, 0xEE2E1), **{"notes": notes, **more})


def lines(result: TrialResult = FOUND, evidence: Evidence | None = None) -> list[str]:
    return finding_story(result, evidence or seen()).splitlines()


def test_it_fits_one_screen_and_every_line() -> None:
    text = lines()
    assert len(text) <= 45
    assert max(map(len, text)) <= 100


def test_a_wide_guest_fits_too() -> None:
    long = "the console is silent since 'missing 118: " + "5 6 8 a " * 60
    aps = (f"AP {ap} was read at 0.1 s and written back at 0.5 s" for ap in range(1, 119))
    wide = replace(FOUND, verdict=replace(LOST, because=(long, *aps, "the last reason")))
    text = lines(wide)
    assert len(text) <= 45
    assert sum("was read at" in line for line in text) == 4
    assert "- … and 114 more APs likewise, each in finding.json" in text
    assert "- the last reason" in text
    few = replace(FOUND, verdict=replace(LOST, because=tuple(f"AP {ap} was read" for ap in range(4))))
    assert "likewise" not in "\n".join(lines(few))


def test_it_says_what_happened_in_order() -> None:
    text = lines()
    assert text[0] == "lost-init (certain): lost INIT: CPU#1 never left the reset vector while CPU#0 spins"
    begin, end = text.index("What happened"), text.index("How we know")
    times = [float(line.split()[0]) for line in text[begin + 1 : end - 1]]
    assert times == sorted(times) == [0.0, 0.05, 0.6, 0.631, 1.1, 1.2, 1.25]
    assert "0.412 s after the last sign of progress" in text[end - 2]


def test_it_says_how_we_know_and_what_it_is_not() -> None:
    text = "\n".join(lines())
    for words in (
        "- CPU#1 at EIP=0000fff0 in two dumps", "- not a slow host: in 0.031 s", "(kvm_vcpu_block)", "29 ms of one",
        "load average 0.52", "- not a paused guest: QEMU said 'running'", "- not a stuck monitor", "wait loop",
        "- not a reset or a panic",
    ):  # fmt: skip
        assert words in text, words


def test_on_an_emulated_host_it_says_how_long_the_machine_beneath_had_no_cpu_for_it() -> None:
    notes = {**seen().notes, "host": {"beneath": {"starved_s": 20.04, "of_s": 25.0}}}
    text = " ".join(" ".join(lines(evidence=replace(seen(), notes=notes))).split())
    assert "the machine beneath had no CPU for this host in 20.0 of 25.0 s" in text


@pytest.mark.parametrize(
    ("quiet", "words"),
    [((), "times are not known"), ((QUIET[0], replace(QUIET[1], state="R")), "1 AP threads wanted to run")],
)
def test_without_the_witness_it_does_not_acquit_the_host(quiet: tuple[ThreadUsage, ...], words: str) -> None:
    text = "\n".join(lines(evidence=seen(quiet=quiet)))
    assert "a slow host cannot be excluded" in text
    assert words in text
    assert "not a slow host" not in text


def test_what_qemu_reported_is_not_denied() -> None:
    for event in ({"event": "RESET", "data": {"guest": True}}, {"event": "GUEST_PANICKED"}):
        assert "not a reset or a panic" not in "\n".join(lines(evidence=seen(events=(event,))))
    ours = ({"event": "RESET", "data": {"guest": False}}, {"event": "SHUTDOWN"})
    assert "not a reset or a panic" in "\n".join(lines(evidence=seen(events=ours)))


def test_conditions_that_are_not_productions_are_said_loudly() -> None:
    cell = FOUND.trial.cell
    made = build(smm=Smm.PRETENDED, smm_writeback=SmmWriteback.RESET_ONLY, hold_write_s=0.001)
    injected = replace(FOUND.trial, inject_lost_ap=True, cell=replace(cell, build=made))
    text = "\n".join(lines(replace(FOUND, trial=injected)))
    for word in ("INJECTED", "PRETENDED", "IMITATED", "HELD"):
        assert word in text
        assert word not in "\n".join(lines())


def test_a_crash_is_told_without_claims_about_vcpus() -> None:
    crash = Verdict(Outcome.CRASH, "QEMU crash: killed by SIGABRT\x1b[31m", FindingClass.CRASH, "y", because=("x",))
    text = "\n".join(lines(replace(FOUND, verdict=crash, detection_s=None), Evidence()))
    assert "slow host" not in text
    assert "not a crash" not in text
    assert "\x1b" not in text
