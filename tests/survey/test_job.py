from __future__ import annotations

from functools import partial

import pytest

from qstress.host.check import build_under_check
from qstress.survey.answers import Answer
from qstress.survey.job import NEW_GUESTS, SENDINGS, every_command, learn, stage_setting, survey
from qstress.survey.monitoring import chosen
from qstress.survey.requests import parse_step

pytestmark = [pytest.mark.qemu, pytest.mark.kvm, pytest.mark.timeout(300)]

TRUTH = {
    "info registers -a": Answer.ALL, "info lapic": Answer.ONE, "query-status": Answer.SAFE, "info cpus": Answer.SAFE,
    "stop": Answer.SAFE, "system_reset": Answer.RESETS, "no-such-command": Answer.NOT_TRIED,
    "dump-guest-memory /nowhere/x": Answer.ALL,
}  # fmt: skip


def test_a_survey_knows_the_commands_whose_answers_are_known() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    steps = [parse_step(f"qmp {text}" if text == "query-status" else text) for text in TRUTH]
    made = survey(build, bringups=0, sandboxed=True, say=lambda line: None, choose=partial(chosen, steps=steps))
    assert {row.command: row.answer for row in made.rows} == TRUTH
    assert (made.controls, made.loud) == (4 * len(TRUTH), ())
    often = {row.command: row.sendings for row in made.rows}
    assert often["query-status"] == 4 * SENDINGS
    assert often["info registers -a"] == 3 * SENDINGS + NEW_GUESTS  # a paused guest is dirty once it was read
    sent_as = next(row for row in made.rows if row.command.startswith("dump"))
    assert sent_as.why.endswith("; sent as dump-guest-memory d0.elf 0 65536")


def test_every_command_of_help_and_schema_has_a_way_to_be_sent_or_a_reason() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    with stage_setting(build, sandboxed=True) as setting:
        commands = learn(setting)
    assert len(commands.names()) > 300
    sent = {(each.via, each.name) for each in every_command(commands)}
    assert {name for name in commands.names() if name not in sent} == {
        ("hmp", "quit"), ("qmp", "human-monitor-command"), ("qmp", "qmp_capabilities"), ("qmp", "quit"),
    }  # fmt: skip
