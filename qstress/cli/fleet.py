"""The commands of fleets of dask's workers."""

from __future__ import annotations

from pathlib import Path

import click

from qstress.cli.options import EXIT_ENVIRONMENT, config_options, format_option, load_with_overrides, one_config
from qstress.errors import ConfigError


@click.group()
def fleet() -> None:
    """A fleet: the workers of a scheduler of dask's."""


@fleet.command(name="check")
@config_options
@click.option("--fleet", "scheduler", metavar="URL", help="the scheduler; default: fleet of FILE")
@format_option
def check_fleet(
    file: Path | None, option: Path | None, overrides: tuple[str, ...], scheduler: str | None, form: str
) -> int:
    """Say of each worker whether it can run FILE, and why not."""
    import json

    from qstress.config.resolve import fleet_settings, resolve
    from qstress.run.fleet_check import fleet_json, fleet_text, survey_fleet

    path = one_config(file, option)
    loaded, base = load_with_overrides(path, overrides, {"fleet.scheduler": scheduler}), path.absolute().parent
    asked = fleet_settings(loaded, base)
    if asked is None:
        raise ConfigError(f"{path}: fleet: is missing; add --fleet tls://HOST:PORT")
    place = survey_fleet(asked).place
    settings = resolve(loaded, kvm=place.kvm, cores=place.cores, base=base)
    found = survey_fleet(asked, [build.binary for build in settings.builds])
    document = fleet_json(found, settings)
    click.echo(json.dumps(document, indent=1) if form == "json" else fleet_text(found, settings))
    return 0 if document["can_run"] else EXIT_ENVIRONMENT
