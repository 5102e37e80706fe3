"""``qstress config``: configurations checked, shown, described, listed and copied."""

from __future__ import annotations

from pathlib import Path

import click

from qstress.cli.options import config_options, load_with_overrides, one_config, settings_of_file
from qstress.errors import ConfigError, RigError


@click.group()
def config() -> None:
    """Check, show or describe a configuration."""


@config.command(name="list")
def list_configs() -> int:
    """Print each shipped configuration: its name, and what it is for."""
    from qstress.config.shipped import first_sentence, shipped

    for name, path in shipped().items():
        click.echo(f"{name:16} {first_sentence(path)}")
    return 0


@config.command()
@click.argument("name")
def init(name: str) -> int:
    """Copy the shipped configuration NAME into the working directory, to be changed."""
    from qstress.config.shipped import find_config, own_copy

    source = find_config(Path(name))
    copy = Path(source.name)
    try:
        with copy.open("x") as file:
            file.write(own_copy(source))
    except FileExistsError:
        raise ConfigError(f"{copy}: is there already; it is left as it is") from None
    except OSError as error:
        raise RigError(f"{copy}: cannot be written: {error.strerror}", reason="config-init") from error
    click.echo(str(copy))
    return 0


@config.command(name="check")
@config_options
def check_config(file: Path | None, option: Path | None, overrides: tuple[str, ...]) -> int:
    """Validate FILE; print nothing but its problems."""
    file = one_config(file, option)
    load_with_overrides(file, overrides, {})
    click.echo(f"{file}: fine")
    return 0


@config.command()
@config_options
def show(file: Path | None, option: Path | None, overrides: tuple[str, ...]) -> int:
    """Print FILE as resolved on this host, every default filled in."""
    import json

    from qstress.config.settings import resolved_document

    settings, _ = settings_of_file(one_config(file, option), overrides, {})
    click.echo(json.dumps(resolved_document(settings), indent=1))
    return 0


@config.command()
def schema() -> int:
    """Print the JSON Schema of a configuration file."""
    import json

    from qstress.config.schema import schema_json

    click.echo(json.dumps(schema_json(), indent=1))
    return 0
