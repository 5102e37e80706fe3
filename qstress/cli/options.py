"""What commands share: options, exit codes, and how a configuration is named and read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qstress.config.kvm import KvmFacts
    from qstress.config.schema import Config
    from qstress.config.settings import Settings

EXIT_USAGE, EXIT_INTERNAL, EXIT_ENVIRONMENT = 2, 3, 4


def config_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return what a shell offers for a configuration: the shipped ones, and files; those come first, for bash's script
    drops what came before them."""
    from qstress.config.shipped import shipped

    return [CompletionItem(begun, type="file"), *map(CompletionItem, (n for n in shipped() if n.startswith(begun)))]


file_argument = click.argument(
    "file", type=click.Path(path_type=Path), required=False, shell_complete=config_names
)  # fmt: skip
file_option = click.option(
    "-c", "--config", "option", type=click.Path(path_type=Path), shell_complete=config_names,
    help="the YAML file, or the name of a shipped one (qstress config list); the same as FILE",
)  # fmt: skip
quiet_option = click.option("-q", "--quiet", is_flag=True, help="no progress")
set_option = click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="override one setting")
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
report_option = click.option("--format", "form", type=click.Choice(["text", "json", "tap", "github"]), default="text")
unsafe_option = click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="fuzzed QEMU may harm this host")
run_argument = click.argument("run", type=click.Path(path_type=Path))


def patches_option(told: str) -> Callable[..., Any]:
    """Return the option for patch files, with what *told* says of them."""
    return click.option(
        "--patch", "patches", type=click.Path(path_type=Path), multiple=True, metavar="FILE|MBOX", help=told
    )


def config_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* the one configuration that it is about, FILE or ``-c FILE``, and ``--set``."""
    return file_argument(file_option(set_option(command)))


def coloured() -> bool:
    """Whether results may be coloured: on a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def one_config(file: Path | None, option: Path | None) -> Path:
    """Return the one configuration that was named, as an argument or with -c: a file, or a shipped one.

    :raises UsageError: none was named, or two.
    :raises ConfigError: there is none of that name.
    """
    from qstress.config.shipped import find_config

    if (path := file or option) is None or (file and option):
        raise click.UsageError("name one configuration: FILE, or -c FILE")
    return find_config(path)


def load_with_overrides(path: Path, overrides: tuple[str, ...], options: Mapping[str, object]) -> Config:
    """Return the configuration at *path* with what the environment, ``--set`` and named options override.

    :raises ConfigError: it cannot be read or means nothing.
    """
    import os

    from qstress.config.load import load_config

    given = {key: value for key, value in options.items() if value is not None}
    return load_config(path, environ=os.environ, overrides=overrides, options=given)


def settings_of_file(
    path: Path, overrides: tuple[str, ...], options: Mapping[str, object]
) -> tuple[Settings, KvmFacts]:
    """Return that configuration resolved on this host, and what KVM can do here.

    :raises ConfigError: as :func:`load_with_overrides`, and for what this host has not.
    :raises RigError: a QEMU cannot be asked for its version.
    """
    import os

    from qstress.config.kvm import probe
    from qstress.config.resolve import resolve

    loaded, kvm = load_with_overrides(path, overrides, options), probe()
    cores = len(os.sched_getaffinity(0))
    return resolve(loaded, kvm=kvm, cores=cores, base=path.absolute().parent), kvm
