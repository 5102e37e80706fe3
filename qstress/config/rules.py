"""The rules between sections of a configuration that is valid section by section (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from qstress.config.schema import Config
from qstress.config.tree import Loc, shown


def broken(config: Config) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong between the sections of *config*, each with the place of the key to change."""
    yield from _stop(config)
    yield from _gate(config)
    yield from _hold(config)


def gated_build(config: Config) -> str | None:
    """Return the build that ``gate``, if any, is about: named, or compare's only candidate, or the only build."""
    if config.gate is None:
        return None
    candidates = config.compare.candidate if config.compare else tuple(config.builds)
    return config.gate.build or (candidates[0] if len(candidates) == 1 else None)


def _stop(config: Config) -> Iterator[tuple[Loc, str]]:
    stop = config.stop
    if stop.trials is None and stop.duration is None and not stop.decided:
        yield ("stop",), "nothing would end this run; add for example  stop: {trials: 400, duration: 10m}"
    if stop.trials is not None and stop.trials < len(config.builds):
        yield ("stop", "trials"), f"{stop.trials} is fewer than the {len(config.builds)} builds"
    if stop.decided and config.compare is None and config.gate is None:
        yield ("stop", "decided"), "needs compare or gate: there is nothing to decide"


def _hold(config: Config) -> Iterator[tuple[Loc, str]]:
    if config.compare is None:
        return
    baseline = config.compare.baseline
    for candidate in config.compare.candidate:
        if config.builds[candidate].hold != config.builds[baseline].hold:
            yield ("builds", candidate), f"must have the same hold as {baseline}, or the comparison says nothing"


def _gate(config: Config) -> Iterator[tuple[Loc, str]]:
    gate, compare = config.gate, config.compare
    if gate is None:
        return
    build = gated_build(config)
    if build is None:
        yield ("gate", "build"), "is missing; say which build must pass"
    if gate.better_than is None or build is None:
        return
    if compare is None or compare.baseline != gate.better_than or build not in compare.candidate:
        missing = f"compare: {{baseline: {gate.better_than}, candidate: {build}}}"
        yield ("gate", "better_than"), f"{shown(gate.better_than)} has to be compared with; add  {missing}"
