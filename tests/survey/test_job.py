from __future__ import annotations

from functools import partial

import pytest

from qstress.host.check import build_under_check
from qstress.survey.answers import Answer
from qstress.survey.job import NEW_GUESTS, SENDINGS, every_command, learn, nearest_recipe, stage_setting, survey
from qstress.survey.monitoring import chosen
from qstress.survey.recipes import HMP, QMP
from qstress.survey.requests import Request, parse_step

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


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("dump-guest-memory -p /var/x 0 4096", "dump-guest-memory -p d0.elf 0 65536"),
        ("dump-guest-memory /var/x 0 4096", "dump-guest-memory d0.elf 0 65536"),
        ('qmp dump-guest-memory {"paging":true, "protocol":"file:/var/x"}',
         'dump-guest-memory {"paging":true,"protocol":"file:d0.elf","begin":0,"length":65536}'),
        ("announced", "announced"),
    ],
)  # fmt: skip
def test_what_writes_files_is_raced_by_the_recipe_that_is_most_like_it(text: str, recipe: str) -> None:
    step = parse_step(text)
    recipes = (HMP if step.arguments is None else QMP).get("dump-guest-memory" if "dump" in text else "", ())
    own = Request("dump-guest-memory", "hmp", step, generated=True)
    named = [f"dump-guest-memory {each.text}" for each in recipes]
    steps = [parse_step(name if step.arguments is None else f"qmp {name}") for name in named]
    assert nearest_recipe([own, *(Request("", "", each) for each in steps)], own).step.text == recipe


def test_every_command_of_help_and_schema_has_a_way_to_be_sent_or_a_reason() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    with stage_setting(build, sandboxed=True) as setting:
        commands = learn(setting)
    assert len(commands.names()) > 300
    sent = {(each.via, each.name) for each in every_command(commands)}
    assert {name for name in commands.names() if name not in sent} == {
        ("hmp", "quit"), ("qmp", "human-monitor-command"), ("qmp", "qmp_capabilities"), ("qmp", "quit"),
    }  # fmt: skip
