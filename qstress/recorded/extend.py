"""Going on with a recorded run: its own settings, of which ``stop`` alone may change.

What decides may be looked at at any time, so a longer run is as good as one that was planned so long. What is a limit
of one look is not: of a run that was extended the gate asks limits that hold at every look.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from qstress.config import units
from qstress.config.binary import sha256_of
from qstress.config.layers import Layers
from qstress.config.resolve import WORKER_LANES
from qstress.config.rules import stop_problems
from qstress.config.schema import Section, StopEntry
from qstress.config.settings import LEFT_OUT_OF_DIGEST, FleetSettings, Settings, digest, resolved_document
from qstress.config.tree import Node, Position, Problem, dotted, from_plain, plain, refusal
from qstress.config.wording import problems_of
from qstress.errors import ConfigError
from qstress.recorded.settings import settings_of
from qstress.store.read import open_run

#: The keys of ``stop`` in a configuration, and the fields of ``Settings`` that they make.
STOP_FIELDS = {"trials": "stop_trials", "duration": "stop_duration_s", "decided": "stop_decided"}
#: The options that say which workers run a run's trials; any session may have others.
_PLACES = ("workers", "fleet.scheduler")
#: What the sections of a run's settings are called in a configuration.
_KEYS = {"strata": "guest, hammer or churn", "builds": "builds", "compare": "compare", "gate": "gate"}


class _StopOnly(Section):
    """A configuration of which nothing but ``stop`` is asked."""

    stop: StopEntry


def settings_to_go_on(path: Path, overrides: Sequence[str], options: Mapping[str, object]) -> Settings:
    """Return the settings of the run in folder *path*, with ``stop`` as *overrides* say.

    :param overrides: ``stop.….=value`` texts of ``--set``.
    :param options: named options that were given (others None), by their key; those that name workers may be others.
    :raises ConfigError: it is no run of this version, an override is wrong or of another key, or a QEMU has changed.
    """
    with open_run(path) as record:
        settings = settings_of(record.run)
    for key, value in options.items():
        if key not in _PLACES and value is not None and str(value) != str(getattr(settings, key)):
            raise ConfigError(f"--{key.replace('_', '-')} {value}: {key}: {_refused(path)}")
    for build in settings.builds:
        if not os.access(build.binary, os.X_OK) or sha256_of(Path(build.binary)) != build.sha256:
            raise ConfigError(f"{build.binary}: builds.{build.name}.binary: is gone or changed: {_refused(path)}")
    return _moved(stop_changed(settings, overrides, path), options)


def _moved(settings: Settings, options: Mapping[str, object]) -> Settings:
    """Return *settings* on other workers, where *options* say so: that is no change of the experiment."""
    workers, scheduler = (options.get(key) for key in _PLACES)
    try:
        if scheduler is not None:
            tls = settings.fleet.tls if settings.fleet else None
            settings = replace(settings, fleet=FleetSettings(units.scheduler(scheduler), tls))
        if workers is not None:
            count = units.lanes(workers) or -(-settings.lanes // WORKER_LANES)
            settings = replace(settings, workers=count, fleet=None)
    except PydanticCustomError as error:
        raise ConfigError(f"--workers or --fleet: {error.message()}") from error
    return settings


def stop_changed(settings: Settings, overrides: Sequence[str], path: Path) -> Settings:
    """Return *settings* with ``stop`` as the ``--set`` texts *overrides* say; *path* is the run's, for messages.

    :raises ConfigError: an override is wrong, or of another key; one line a problem.
    """
    layers = Layers(from_plain({"stop": {}}, Position(0, 0, 0, str(path))))
    layers.overrides(overrides)
    problems = [*layers.problems, *(Problem(at, key, _refused(path)) for key, at in _other_keys(layers.root))]
    if problems:
        raise refusal(problems)
    try:
        stop = _StopOnly.model_validate(plain(layers.root)).stop
    except ValidationError as error:
        raise refusal(problems_of(error, layers.root)) from None
    changed = replace(settings, **{STOP_FIELDS[key]: getattr(stop, key) for key in stop.model_fields_set})
    decidable = settings.compare is not None or (settings.gate is not None and settings.gate.max_hang_rate is not None)
    wrong = stop_problems(
        changed.stop_trials, changed.stop_duration_s, changed.stop_decided, builds=len(settings.builds),
        process_trials=settings.strata[0].shape.process_trials, decidable=decidable,
    )  # fmt: skip
    for loc, text in wrong:
        raise ConfigError(f"{path}: {dotted(loc)}: {text}")
    return changed


def other_changes(before: Settings, now: Settings) -> list[str]:
    """Return the keys, other than ``stop``, in which two settings are not the same experiment."""
    kept = LEFT_OUT_OF_DIGEST | set(STOP_FIELDS.values())
    old, new = resolved_document(before), resolved_document(now)
    return [_KEYS.get(key, key) for key in old if key not in kept and old[key] != new[key]]


def run_extended(run: Mapping[str, object], before: Settings, now: Settings) -> dict[str, object]:
    """Return the content of ``run.json`` of a run whose ``stop`` became that of *now*; *run* is what it was."""
    earlier = run.get("extended")
    was = {key: getattr(before, key) for key in STOP_FIELDS.values()}
    extended = [*(earlier if isinstance(earlier, list) else ()), was]
    return {**run, "config": resolved_document(now), "sha256": digest(now), "extended": extended}


def is_extended(run: Mapping[str, object]) -> bool:
    """Whether the run with this ``run.json`` was given another ``stop`` after it had begun."""
    return bool(run.get("extended"))


def _refused(path: Path) -> str:
    return f"cannot change while {path} goes on, stop alone can; start a new run instead"


def _other_keys(root: Node) -> Iterator[tuple[str, Position]]:
    """Yield what was put beside ``stop``, as users write it, with its place."""
    assert isinstance(root.value, dict)
    for key, node in root.value.items():
        if key != "stop":
            while isinstance(node.value, dict) and node.value:
                name, node = next(iter(node.value.items()))
                key = f"{key}.{name}"
            yield key, node.place
