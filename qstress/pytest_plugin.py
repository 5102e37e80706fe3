"""``pytest --qstress smp64.yaml``: a soak among the tests of a project, a test for each of its cases.

The cases of a run are known before its first trial, so they can be collected, and selected with ``-k``. The first one
that is run runs the soak, in a process of its own; the others only tell what became of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from qstress.report.cases import Case


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--qstress``."""
    parser.getgroup("qstress").addoption(
        "--qstress", action="append", default=[], metavar="FILE",
        help="soak QEMU as this configuration says, a file or a shipped one; repeatable",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Look whether one process runs all tests.

    :raises UsageError: each process of pytest-xdist would run a soak of its own.
    """
    if config.option.qstress and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--qstress: all cases are of one soak; run them without pytest-xdist (-n 0)")


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among them, too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the cases of each configuration."""
    for name in config.option.qstress:
        items += SoakCases.from_parent(session, name=name, nodeid=f"qstress/{name}").collect()


class SoakCases(pytest.Collector):
    """The cases of a configuration."""

    def collect(self) -> list[pytest.Item]:
        """Return a test for each case.

        :raises UsageError: the configuration is refused, or this host has not what it asks for.
        """
        from qstress.cli.options import settings_of_file
        from qstress.config.shipped import find_config
        from qstress.errors import ConfigError, RigError
        from qstress.recorded.reports import cases_planned

        try:
            self.settings, _ = settings_of_file(find_config(Path(self.name)), (), {})
        except (ConfigError, RigError) as error:
            raise pytest.UsageError(f"--qstress: {error}") from error
        planned = enumerate(cases_planned(self.settings))
        return [SoakCase.from_parent(self, name=f"{case.group} {case.name}", number=n) for n, case in planned]

    @cached_property
    def ended(self) -> list[Case] | str:
        """The same cases after the soak, which this runs; or why there is none of them."""
        from qstress.recorded.reports import cases_of
        from qstress.recorded.run import open_recorded

        command = [sys.executable, "-m", "qstress", "soak", self.name, "--quiet", "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.stdout:
            return f"qstress ended with {done.returncode}: {done.stderr}"
        recorded = open_recorded(self.settings.runs_dir / json.loads(done.stdout)["run"])
        cases = cases_of(recorded)
        return f"{cases[0].why} {done.stderr}" if cases[0].group == "run" else cases


class SoakCase(pytest.Item):
    """One case; *number* is its place among those of the run."""

    parent: SoakCases

    def __init__(self, *, number: int, **named: object) -> None:
        super().__init__(**named)  # type: ignore[arg-type]
        self.number = number

    def runtest(self) -> None:
        ended = self.parent.ended
        if isinstance(ended, str):
            pytest.fail(ended, pytrace=False)
        case = ended[self.number]
        self.add_report_section("call", "qstress", case.seen)
        if case.end == "skipped":
            pytest.skip(case.why)
        if case.end:
            pytest.fail("\n".join(dict.fromkeys((case.why, case.seen))), pytrace=False)
