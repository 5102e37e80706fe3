"""The reference says what the program does: every command, option, exit code, key, file and metric, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from prometheus_client import Metric

from qstress import cli
from qstress.config.schema import SECTIONS
from qstress.config.settings import Gate
from qstress.errors import INTERRUPTED_EXIT
from qstress.metrics.families import families
from qstress.metrics.watched import watch_families
from qstress.model import FindingClass
from qstress.report import gate
from qstress.report.summary import summary
from qstress.stats.compare import compare
from qstress.stats.tally import Tally
from qstress.store.evidence import write_evidence
from qstress.verdict.explain.picture import DumpVerdict
from tests.docs.markdown import ROOT, code, rows, section
from tests.metrics.samples import at_start
from tests.report.test_summary import FACTS
from tests.stats.samples import build, cells, feed, verdicts
from tests.store.samples import LOST_INIT, evidence, result

TEXT = (ROOT / "docs/reference.md").read_text()


def commands(group: click.Group = cli.cli, above: str = "qstress") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above} {name}")
        else:
            yield f"{above} {name}", command


def test_every_command_is_told_once() -> None:
    told = [row[0].strip("`") for row in rows(section(TEXT, "Commands").partition("###")[0])]
    assert sorted(told) == sorted(name for name, _ in commands())


def test_options_are_those_of_the_command() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(section(TEXT, "Arguments and options"))}
    for name, command in commands():
        options = {
            flag for option in command.params if isinstance(option, click.Option) for flag in option.opts
        } - {"-h", "--help"}  # fmt: skip
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told[name])) == options, name


def test_formats_are_those_of_the_command() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(section(TEXT, "Arguments and options"))}
    for name, command in commands():
        for option in command.params:
            if option.name == "form" and isinstance(option.type, click.Choice):
                assert f"--format {'|'.join(option.type.choices)}" in told[name], name


def test_exit_codes() -> None:
    told = {int(number) for row in rows(section(TEXT, "Exit codes")) for number in row[0].split(",")}
    own = {value for name, value in vars(cli).items() if name.startswith("EXIT_")}
    assert told == own | {gate.PASSED, gate.FAILED, gate.INCONCLUSIVE} | set(INTERRUPTED_EXIT.values())


@pytest.mark.parametrize("place", SECTIONS, ids=".".join)
def test_every_key_of_the_configuration(place: tuple[str, ...]) -> None:
    text = section(TEXT, "Configuration")
    keys = [field.alias or name for name, field in SECTIONS[place].model_fields.items()]
    above = "" if place in ((), ("guest",), ("hammer", "*")) or place[0] == "builds" else f"{'.'.join(place)}."
    told = {word for row in rows(text) for cell in row for word in code(cell)}
    inside = " ".join(told)
    missing = [key for key in keys if f"{above}{key}" not in told and not re.search(rf"\{{{key}: ", inside)]
    assert missing == []


def test_every_metric_with_its_labels() -> None:
    told = {name: row[2] for row in rows(section(TEXT, "Metrics")) for name in code(row[0])}
    suffixes = {"counter": "_total", "info": "_info"}
    made: dict[str, Metric] = {
        family.name + suffixes.get(family.type, ""): family
        for family in (*families(at_start(Gate("new", 0.01, None, None))), *watch_families([], 0, 0.0))
    }
    assert sorted(told) == sorted(made)
    for name, family in made.items():
        for label in {label for sample in family.samples for label in sample.labels} - {"le"}:
            assert re.search(rf"\b{label}\b", told[name]), (name, label)


def test_every_file_of_the_evidence(tmp_path: Path) -> None:
    texts = {"bug.md": "", "story.txt": "", "timeline.svg": ""}
    write_evidence(
        tmp_path / "1",
        result(1, LOST_INIT),
        replace(evidence(), journal=b"{}\n", serial=b"x", stacks="#0 main ()"),
        run_id="r",
        repro_script="",
        texts=texts,
    )
    told = {name for row in rows(section(TEXT, "Evidence")) for name in code(row[0])}
    assert told == {path.name for path in (tmp_path / "1").iterdir()}


def names(value: object) -> Iterator[str]:
    """Yield every key below *value*, those that are data (classes, hosts) left out."""
    if isinstance(value, list):
        for each in value:
            yield from names(each)
    if isinstance(value, dict):
        data = set(value) <= {*FindingClass} or "cores" in value
        for key, below in value.items():
            yield from () if data else (key,)
            yield from names(below) if not data else ()


def test_every_key_of_the_summary() -> None:
    tally = Tally(cells(build("stock"), build("fixed")), [("stock", "fixed")])
    feed(tally, verdicts(5, 40), verdicts(0, 40))
    content = summary(FACTS, tally, [compare(tally, "stock", "fixed", alpha=1e-6)])
    told = set(re.findall(r'"([a-z0-9_-]+)":', section(TEXT, "summary.json")))
    assert set(names(content)) - told == set()


def test_every_verdict_of_explain() -> None:
    assert {str(answer) for answer in DumpVerdict} <= set(code(section(TEXT, "Explanations as JSON")))
