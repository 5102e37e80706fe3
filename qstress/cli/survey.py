"""Which monitor commands are safe."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from qstress.cli.options import format_option, quiet_option, unsafe_option
from qstress.errors import ConfigError

_DANGEROUS = ("one", "all")


@click.command(name="survey")
@click.option("--build", "binaries", multiple=True, metavar="BIN", help="a QEMU to survey; repeatable")
@click.option("--arg", "arguments", multiple=True, help="one more argument for QEMU; repeatable")
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True)
@click.option("--sendings", type=click.IntRange(min=1), default=10, show_default=True,
              help="of each command to each kind of guest")  # fmt: skip
@click.option("--bringups", type=click.IntRange(min=0), default=200, show_default=True,
              help="of each kind, to confirm by the race what writes back; 0: no race")  # fmt: skip
@click.option("--sample", type=click.IntRange(min=0), default=0, show_default=True,
              help="put as many safe commands to the race, too")  # fmt: skip
@click.option("--monitoring", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="survey only the commands in FILE, a line each")  # fmt: skip
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="write a page, too")
@unsafe_option
@quiet_option
@format_option
def survey_commands(
    binaries: tuple[str, ...], arguments: tuple[str, ...], accel: str, sendings: int, bringups: int, sample: int,
    monitoring: Path | None, html: Path | None, unsafe: bool, quiet: bool, form: str,
) -> int:  # fmt: skip
    """Say which monitor commands make vCPUs write their state back, and so may hang a guest that boots."""
    import json

    from qstress.config.kvm import probe
    from qstress.host.check import build_under_check
    from qstress.model import Accel
    from qstress.survey import job, show
    from qstress.survey.monitoring import chosen, parse_monitoring
    from qstress.survey.page import survey_page

    choose = None
    if monitoring:
        choose = partial(chosen, steps=parse_monitoring(monitoring.read_text(), str(monitoring)))
    pretend = not probe().smm
    surveys = []
    for binary in binaries or ("qemu-system-x86_64",):
        build, chosen_accel = build_under_check(binary, accel, arguments, pretend_smm=pretend)
        if chosen_accel is not Accel.KVM or "kernel-irqchip=off" in " ".join(arguments):
            raise ConfigError(f"{build.binary}: there is nothing to survey. {show.NOT_IN_DANGER}")

        def say(line: str) -> None:
            if not quiet:
                click.echo(line, err=True)

        surveys.append(
            job.survey(
                build, bringups=bringups, sample=sample, sendings=sendings, sandboxed=not unsafe, say=say, choose=choose
            )
        )
    if html:
        html.write_text(survey_page(surveys))
    if form == "json":
        click.echo("\n".join(json.dumps(show.survey_json(each)) for each in surveys))
    else:
        text = show.monitoring_text if monitoring else show.survey_text
        click.echo("\n\n".join(map(text, surveys)))
    found = [row for each in surveys for row in each.rows if row.answer in _DANGEROUS]
    return 1 if monitoring and found else 0
