from __future__ import annotations

from dataclasses import replace

from qstress.survey.show import NOT_IN_DANGER, monitoring_text, survey_json, survey_text
from tests.survey.samples import RACED, ROWS, surveyed


def test_the_dangerous_come_first_and_the_safe_last() -> None:
    lines = survey_text(surveyed(replace(ROWS[0], races=RACED), *ROWS[1:])).splitlines()
    assert lines[0] == (
        "/opt/<qemu>: QEMU 10.0.13 (SMM pretended): 1 all, 1 not-tried, 1 safe; with nothing sent, nothing seen "
        "500 of 500 times; 1 min 1 s"
    )
    heads = ("every vCPU is read and written back (1)", "not tried (1)", "safe: no vCPU is touched (1)")
    at = [next(number for number, line in enumerate(lines) if line.startswith(head)) for head in heads]
    assert at == sorted(at)
    assert lines[at[0] + 1].startswith("  hmp info registers -a: every vCPU; open for 1 ms, p99 1 ms; lost INIT 3/200")
    assert lines[at[1] + 1] == "  qmp quit: it ends QEMU"
    assert lines[-1] == NOT_IN_DANGER


def test_a_loud_control_is_told() -> None:
    text = survey_text(surveyed(*ROWS, loud=("waiting, after stop: 3 records",)))
    assert "nothing seen 499 of 500 times" in text
    assert "waiting, after stop: 3 records" in text


def test_monitoring_says_of_each_command_when_it_is_dangerous() -> None:
    lines = monitoring_text(surveyed(*ROWS)).splitlines()
    assert lines[1] == "info registers -a: all"
    assert lines[2].startswith("  dangerous while a guest's CPUs are brought up: from power-on or reset until")
    assert "query-status: safe" in lines


def test_json_has_the_build_and_every_command() -> None:
    made = survey_json(surveyed(*ROWS))
    assert (made["build"], made["version"], made["smm"], made["controls"]) == (
        "/opt/<qemu>",
        "10.0.13",
        "pretended",
        500,
    )
    assert [each["command"] for each in made["commands"]] == ["info registers -a", "query-status", "quit"]
