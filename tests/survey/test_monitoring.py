from __future__ import annotations

import re

import pytest

from qstress.errors import ConfigError
from qstress.fuzz.hmp import Hmp, parse_help
from qstress.fuzz.pool import Pool
from qstress.survey.monitoring import HABITS, chosen, parse_monitoring
from qstress.survey.requests import Commands, Step
from tests.fuzz.samples import schema


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("info registers -a  # every minute", Step("info registers -a")),
        ("qmp query-status", Step("query-status", "{}")),
        ('{"execute": "query-stats", "arguments": {"target": "vm"}}', Step("query-stats", '{"target": "vm"}')),
        ("virsh qemu-monitor-command web1 --hmp info lapic", Step("info lapic")),
        ("virsh qemu-monitor-command --hmp web1 'info lapic'", Step("info lapic")),
        ("""virsh qemu-monitor-command web1 '{"execute":"query-status"}'""", Step("query-status", "{}")),
        ('{"execute":"human-monitor-command","arguments":{"command-line":"info mem"}}', Step("info mem")),
    ],
)
def test_a_command_however_it_is_sent(line: str, step: Step) -> None:
    assert parse_monitoring(f"# mine\n\n{line}\n{line}\n", "x") == [step]


@pytest.mark.parametrize("habit", HABITS)
def test_every_habit_is_known_also_with_a_domain(habit: str) -> None:
    assert parse_monitoring(habit, "x") == parse_monitoring(f"{habit} web1", "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("info cpus\nvirsh frobnicate web1", "mine:2: not a habit that is known; known are collectd virt,"),
        ("virsh qemu-monitor-command web1", "mine:1: a domain and a command"),
        ("virsh qemu-monitor-command web1 info lapic", "mine:1: a QMP command is expected as JSON, or --hmp"),
        ('{"exec": 1}', 'mine:1: not {"execute": NAME'),
        ("qmp query-stats {target}", "mine:1: the arguments are no JSON"),
        ("# nothing", "mine: no command"),
    ],
)
def test_what_means_nothing_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_monitoring(text, "mine")


def test_a_line_is_sent_as_it_stands_and_else_by_a_recipe() -> None:
    commands = Commands(schema(), Hmp(parse_help("memsave addr size file -- x\nx /fmt addr -- y\n"), Pool()))
    memsave, dump = chosen(commands, [Step("memsave 0 16 /var/x"), Step("x/4xw 0")])
    assert [each.step.text for each in memsave.candidates] == ["memsave 0 16 /var/x", 'memsave 0 4096 "m.bin"']
    assert (dump.name, dump.asked, dump.candidates[1].step.text) == ("x", "x/4xw 0", "x /4xw 0")
