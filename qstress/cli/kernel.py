"""The command line of host kernels that are built: ``qstress kernel build``."""

from __future__ import annotations

from pathlib import Path

import click

from qstress.cli.options import patches_option, quiet_option
from qstress.errors import ConfigError


@click.group(name="kernel")
def kernels() -> None:
    """Kernels for emulated hosts, from source."""


@kernels.command(name="build")
@click.option("--source", required=True, metavar="TREE|linux-source-VERSION", help="it stays as it is")
@patches_option("builds two kernels, without and with it; repeatable")
@click.option("--reverse", is_flag=True, help="the source has the patch: take it out for the kernel without")
@click.option(
    "--sanitizer", type=click.Choice(["none", "kcsan", "kasan"]), default="none", show_default=True,
    help="what watches the kernel from within",
)  # fmt: skip
@click.option("--config", metavar="FILE|linux-config-VERSION", help="what to take away from; the distribution's")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="gets a folder for each kernel")
@click.option("--name", help="the kernel's folder, and what its release ends with")
@quiet_option
@click.option("--dry-run", is_flag=True, help="say what would be built, and whether the patch applies; build nothing")
def build_kernels(
    source: str,
    patches: tuple[Path, ...],
    reverse: bool,
    sanitizer: str,
    config: str | None,
    out: Path,
    name: str | None,
    quiet: bool,
    dry_run: bool,
) -> int:
    """Build a small kernel for emulated hosts, or with a patch a pair; print the images' paths."""
    from qstress.kernel_build import build as job
    from qstress.kernel_build.options import Sanitizer

    order = job.Order(source, out, Sanitizer(sanitizer), patches, reverse, config, name)
    if dry_run:
        lines, refused = job.planned(order)
        click.echo("\n".join(lines))
        if refused:
            raise ConfigError(refused)
        return 0
    for image in job.make_kernels(order, lambda line: None if quiet else click.echo(line, err=True)):
        click.echo(image)
    return 0
