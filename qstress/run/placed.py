"""A soak from its settings to its end, in the place where its trials run: what is wired for a person and for a program
alike. A soak whose emulated host is lost goes on in a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio

from qstress import __version__
from qstress.config.schema import HostEntry
from qstress.config.settings import FleetSettings, HostSettings, Settings
from qstress.metrics.exporter import Exporter
from qstress.model import TrialResult
from qstress.run import soak as job
from qstress.run.emulated import Place, may_try_again, place_of, places_of
from qstress.run.fleet_check import survey_fleet
from qstress.run.soak import Soak

#: Where trials run: here (None), on an emulated host, on several by their names, or on a fleet's workers.
Where = HostEntry | HostSettings | Mapping[str, HostEntry] | Mapping[str, HostSettings] | FleetSettings | None


class Onlooker(Protocol):
    """Who looks on: :class:`qstress.run.screen.Screen`, or a program."""

    def say(self, line: str) -> None:
        """Be told what happens, for people."""

    def on_result(self, result: TrialResult, place: str | None) -> None:
        """Be told of a finished trial; *place* is its evidence in the run's folder, None without."""

    def following(self, soak: Soak) -> AbstractAsyncContextManager[None]:
        """Follow *soak* while the block runs."""


def run_placed(
    host: Where,
    settings_in: Callable[[Place], Settings],
    watcher: Onlooker,
    resume: Path | None = None,
) -> Soak:
    """Run a soak to its end, or go on with the run in folder *resume*; return it, done. Its files are closed.

    :param host: where its trials run.
    :param settings_in: returns its settings in that place.
    :raises ConfigError: it means nothing there, or *resume* is of another experiment.
    :raises RigError: the host cannot do it; what fails later is the ``error`` of the soak.
    """
    hosts = 1
    soak = _run_once(host, settings_in, watcher, resume)
    while soak.stopped_by is None and may_try_again(soak.error, hosts):
        hosts += 1
        watcher.say(f"{soak.error}; going on with {soak.store.run_id} on a new emulated host ({hosts}): "
                    "its open blocks are run again")  # fmt: skip
        soak = _run_once(host, settings_in, watcher, soak.store.path)
    return soak


def _run_once(
    host: Where,
    settings_in: Callable[[Place], Settings],
    watcher: Onlooker,
    resume: Path | None,
) -> Soak:
    with ExitStack() as stack:
        if isinstance(host, FleetSettings):
            place = survey_fleet(host).place
        elif isinstance(host, Mapping):
            place = stack.enter_context(places_of(host, watcher.say))
        else:
            place = stack.enter_context(place_of(host, watcher.say))
        settings = settings_in(place)
        if settings.fleet is not None:
            settings = replace(settings, workers=place.workers)
        watcher.say(f"qstress {__version__}: {settings.name}: {settings.accel_note}")
        exporter = stack.enter_context(
            Exporter(settings.metrics_listen, settings.metrics_textfile, settings.name, watcher.say)
        )
        if exporter.url:
            watcher.say(f"metrics: {exporter.url}")
        begin = job.start if resume is None else partial(job.resume, run=resume)
        soak = begin(settings, place.kvm, stack=stack, on_result=watcher.on_result, place=place)
        if soak.fleet is not None:
            soak.fleet.say = watcher.say

        async def followed() -> None:
            async with exporter.following(soak.measured), watcher.following(soak):
                await soak.run()

        anyio.run(followed)
    return soak
