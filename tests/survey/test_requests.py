from __future__ import annotations

import pytest

from qstress.fuzz.hmp import Hmp, parse_help
from qstress.fuzz.pool import Pool
from qstress.survey.requests import Commands, Request, Step, parse_step
from tests.fuzz.samples import schema

HELP = "info registers [-a|vcpu] -- show\nx /fmt addr -- dump\nquit|q  -- quit\nfrob name -- new\n"


@pytest.fixture
def commands() -> Commands:
    return Commands(schema(), Hmp(parse_help(HELP), Pool()))


def test_an_hmp_line_goes_through_qmp_and_may_be_aimed_at_a_vcpu() -> None:
    step = parse_step("memsave 0 4096 %m@.bin")
    line = "memsave 0 4096 /f/m7.bin"
    assert step.qmp(7, 1, folder="/f/") == ("human-monitor-command", {"command-line": line, "cpu-index": 1})
    assert step.qmp(7)[1] == {"command-line": "memsave 0 4096 m7.bin"}
    assert step.text == "memsave 0 4096 m0.bin"


def test_a_qmp_command_keeps_its_arguments() -> None:
    step = parse_step('qmp job-cancel {"id":"j@"}')
    assert (step.qmp(3, 1), step.text) == (("job-cancel", {"id": "j3"}), 'job-cancel {"id":"j0"}')
    assert parse_step("qmp query-status").text == "query-status"


def test_a_recipe_goes_before_the_generator(commands: Commands) -> None:
    ways = commands.requests("hmp", "info registers")
    assert [[each.step.text for each in way] for way in ways] == [
        ["info registers -a"], ["info registers"], ["info registers 1"],
    ]  # fmt: skip
    assert not any(each.changes for way in ways for each in way)
    assert commands.requests("hmp", "quit") == []


def test_without_a_recipe_different_arguments_are_tried_always_the_same(commands: Commands) -> None:
    (way,) = commands.requests("hmp", "frob")
    assert way == commands.requests("hmp", "frob")[0]
    assert way[0] == Request("frob", "hmp", Step("frob"), generated=True)
    assert len({each.step for each in way}) == len(way) > 3
    assert all(each.changes for each in way)


def test_all_commands_are_named(commands: Commands) -> None:
    names = commands.names()
    assert ("hmp", "x") in names
    assert {name for via, name in names if via == "qmp"} == set(commands.schema.commands)
