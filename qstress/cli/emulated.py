"""The command line of emulated hosts: ``qstress host …``, and ``--host emulated`` for what runs inside."""

from __future__ import annotations

import sys
from typing import Any

import click

from qstress.errors import ConfigError


@click.group(name="host")
def emulated_hosts() -> None:
    """Emulated KVM hosts: a kernel, and a machine to run it in, for where there is no /dev/kvm."""


@emulated_hosts.command(name="fetch")
@click.argument("version", default="auto")
def fetch_kernel(version: str) -> int:
    """Bring a kernel into your cache without installing it: VERSION (6.12), or the distribution's default."""
    from qstress.emulated import fetch as job

    kernel = job.fetch(version, _say)
    click.echo(f"{kernel.release}  {kernel.image}  {kernel.sha256}")
    return 0


@emulated_hosts.command(name="list")
def list_kernels() -> int:
    """Print the kernels in your cache: release, image, sha256."""
    from qstress.emulated.fetch import fetched

    for kernel in fetched():
        click.echo(f"{kernel.release}  {kernel.image}  {kernel.sha256}")
    return 0


def _bytes(_context: click.Context, _option: click.Parameter, value: str) -> int:
    from pydantic_core import PydanticCustomError

    from qstress.config.units import size_bytes

    try:
        return size_bytes(value)
    except PydanticCustomError as error:
        raise click.BadParameter(error.message()) from error


@emulated_hosts.command(name="run", context_settings={"ignore_unknown_options": True})
@click.option("--kernel", default="auto", show_default=True, help="auto, a version, or a path")
@click.option("--cpus", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--memory", default="3G", show_default=True, callback=_bytes)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_on_host(kernel: str, cpus: int, memory: int, command: tuple[str, ...]) -> int:
    """Run COMMAND on an emulated host, with this machine's files; what it writes is gone afterwards."""
    from qstress.emulated.command import Machine
    from qstress.emulated.inside import run_inside

    return run_inside(command, kernel, Machine(cpus, memory), _say)


def _moved(context: click.Context, _option: click.Parameter, value: str) -> None:
    """Run this very command line, without its ``--host``, on an emulated host, and end with its exit code."""
    if value == "this" or context.resilient_parsing:
        return
    from qstress.emulated.command import Machine
    from qstress.emulated.inside import run_inside, without_host

    kernel = kernel_of(value)
    command = [sys.executable, "-m", "qstress", *without_host(sys.argv[1:])]
    context.exit(run_inside(command, kernel, Machine(), _say))


def kernel_of(value: str) -> str:
    """Return the kernel that ``--host`` asks for: ``emulated`` (auto) or ``emulated:KERNEL``.

    :raises ConfigError: it is something else.
    """
    word, _, kernel = value.partition(":")
    if word != "emulated":
        raise ConfigError(f"--host {value}: there are this, emulated and emulated:KERNEL")
    return kernel or "auto"


def host_option(command: Any) -> Any:
    """Give *command* an option ``--host``; with ``emulated`` all of it runs inside."""
    option = click.option(
        "--host", default="this", metavar="this|emulated[:KERNEL]", show_default=True, expose_value=False,
        is_eager=True, callback=_moved, help="where it runs; emulated: on an emulated KVM host",
    )  # fmt: skip
    return option(command)


def _say(line: str) -> None:
    click.echo(line, err=True)
