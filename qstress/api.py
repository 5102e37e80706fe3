"""qstress for programs: load a configuration, run it, read a run, explain a text (docs/api.md).

What is in ``__all__`` is kept as the command line is; everything else in the package is free to change.

::

    from qstress import api

    run = api.run_soak(api.load("smp64", {"stop.duration": "60s"}))
    for cell in run.summary["cells"]:
        print(cell["build"], cell["smp"], cell["hang_rate"]["upper"])
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qstress.errors import ConfigError, QstressError, RigError
from qstress.report.documents import BugDocument, CellDocument, ComparisonDocument, SummaryDocument

if TYPE_CHECKING:
    from qstress.config.schema import Config
    from qstress.config.settings import Settings
    from qstress.model import TrialResult
    from qstress.recorded.run import Recorded
    from qstress.run.emulated import Place
    from qstress.run.soak import Soak

__all__ = [
    "BugDocument",
    "CellDocument",
    "ComparisonDocument",
    "ConfigError",
    "Experiment",
    "Explained",
    "QstressError",
    "RecordedSoak",
    "RigError",
    "SummaryDocument",
    "explain",
    "load",
    "read_run",
    "run_soak",
]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A configuration that was read and found to mean something; :func:`load` makes it. What it holds is our own."""

    _config: Config
    _base: Path  # what its paths of binaries are relative to

    @property
    def name(self) -> str:
        """What the configuration calls itself."""
        return self._config.name


@dataclass(frozen=True, slots=True)
class RecordedSoak:
    """A run that was recorded: its folder, and the content of its ``summary.json``."""

    path: Path
    summary: SummaryDocument

    @property
    def exit_code(self) -> int:
        """What ``qstress soak`` ends with (docs/reference.md, "Exit codes"): 0 passed, 1 failed, 5 inconclusive, …"""
        return self.summary["exit_code"]

    @property
    def evidence(self) -> list[Path]:
        """The folders of what was found, those of one bug together."""
        return [self.path / folder for bug in self.summary["findings"] for folder in bug["evidence"]]


@dataclass(frozen=True, slots=True)
class Explained:
    """What a pasted text shows (docs/reference.md, "Explanations as JSON").

    :param confidence: certain, likely or inconclusive; None of a kernel's log, which says it in its own words.
    :param document: all of it, as ``qstress explain --format json`` prints it.
    :param text: all of it, for people.
    """

    verdict: str
    confidence: str | None
    because: tuple[str, ...]
    document: Mapping[str, object]
    text: str


def load(config: str | Path, overrides: Mapping[str, object] | None = None) -> Experiment:
    """Read a configuration.

    :param config: the YAML file, or the name of a shipped one.
    :param overrides: dotted key -> value, as ``--set`` takes them: ``{"stop.duration": "60s", "guest.smp": [2, 4]}``.
        The environment is not looked at.
    :raises ConfigError: there is none, or it means nothing; a line a problem, each with its place.
    """
    from qstress.config.load import load_config
    from qstress.config.shipped import find_config

    path = find_config(Path(config))
    loaded = load_config(path, environ={}, options=overrides, options_called="overrides")
    return Experiment(loaded, path.absolute().parent)


def run_soak(experiment: Experiment, on_finding: Callable[[str], None] | None = None) -> RecordedSoak:
    """Run *experiment* until its stop rule, and record it; nothing is printed.

    SIGINT and SIGTERM let the trials under way finish if the main thread calls this; another thread's soak has no
    handler. Within a running event loop, call it from a thread.

    :param on_finding: told each finding in a line, as it is found.
    :raises ConfigError: it means nothing on this host; no guest has been started.
    :raises RigError: this host cannot do it, or could not any more; what was found until then is recorded.
    """
    from qstress.config.resolve import fleet_settings, resolve
    from qstress.run.placed import run_placed

    config = experiment._config

    def settings_in(place: Place) -> Settings:
        return resolve(
            config,
            kvm=place.kvm,
            cores=place.cores,
            base=experiment._base,
            host=place.settings,
            hosts=place.host_settings,
        )

    soak = run_placed(
        fleet_settings(config, experiment._base) or config.host or config.hosts or None,
        settings_in,
        _Program(on_finding),
    )
    if soak.error is not None:
        raise soak.error
    return _told(soak.recorded())


def read_run(folder: str | Path) -> RecordedSoak:
    """Read a recorded run, one that goes on or was killed, too.

    :raises ConfigError: *folder* is no run of this version, or it is damaged.
    """
    from qstress.recorded.run import open_recorded

    return _told(open_recorded(Path(folder)))


def explain(text: str | bytes) -> Explained:
    """Say what *text* shows: pasted register dumps, whole or mangled, or a kernel's log. Never raises."""
    from qstress.hostlog.answer import explain_log
    from qstress.verdict.explain.pasted import explain_text
    from qstress.verdict.explain.show import explanation_json, explanation_text

    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    if (log := explain_log(data)) is not None:
        return Explained(log.verdict, None, log.because, log.document(), log.text())
    said = explain_text(data)
    return Explained(
        str(said.verdict), str(said.confidence), said.because, explanation_json(said), explanation_text(said)
    )


def _told(run: Recorded) -> RecordedSoak:
    from qstress.recorded.reports import summary_of

    return RecordedSoak(run.path, cast(SummaryDocument, summary_of(run)))


class _Program:
    """Looks on for a program: tells it of findings alone."""

    def __init__(self, on_finding: Callable[[str], None] | None) -> None:
        self._on_finding = on_finding

    def say(self, line: str) -> None:
        """Say nothing: whoever calls knows what it runs."""

    def on_result(self, result: TrialResult, place: str | None) -> None:
        """Tell of a finding."""
        if self._on_finding is not None and result.verdict.outcome.finding:
            where = f" [{place}]" if place else ""
            self._on_finding(f"trial {result.trial.number}: {result.verdict.title}{where}")

    @asynccontextmanager
    async def following(self, soak: Soak) -> AsyncIterator[None]:
        """Follow nothing."""
        yield
