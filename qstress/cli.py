"""The command line: arguments, wiring, exit codes; the only module that prints.

Results go to stdout, progress and logs to stderr. Everything heavy is imported by the command that needs it, so that
``--help`` stays quick.
"""

from __future__ import annotations

import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qstress import __version__
from qstress.errors import ConfigError, RigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qstress.config.kvm import KvmFacts
    from qstress.config.settings import Settings

EXIT_USAGE, EXIT_INTERNAL, EXIT_ENVIRONMENT = 2, 3, 4

config_option = click.option("-c", "--config", type=click.Path(path_type=Path), required=True, help="the YAML file")
set_option = click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="override one setting")
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")


def main() -> None:
    """Entry point: run the command line and turn errors into one line and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except ConfigError as error:
        code = _failed(str(error), EXIT_USAGE)
    except RigError as error:
        code = _failed(f"qstress: {error}", EXIT_ENVIRONMENT)
    except BrokenPipeError:
        code = 0
    except Exception:
        traceback.print_exc()
        code = _failed("qstress: internal error; please report the lines above", EXIT_INTERNAL)
    sys.exit(code)


def _failed(message: str, code: int) -> int:
    click.echo(message, err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qstress")
def cli() -> None:
    """Fuzz and soak-test live QEMU guests through their monitors."""


@cli.command()
@config_option
@set_option
@click.option("--seed", type=int, help="the seed of the plan")
@click.option("--lanes", help="guests at once, or auto")
@click.option("--runs-dir", help="where runs are recorded")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="go on with this run")
@format_option
@click.option("-q", "--quiet", is_flag=True, help="no progress")
@click.option("-v", "--verbose", is_flag=True, help="a line for each trial")
@click.option("--no-progress", is_flag=True, help="no live panel")
def soak(
    config: Path, overrides: tuple[str, ...], resume: Path | None, form: str, quiet: bool, verbose: bool,
    no_progress: bool, **options: object,
) -> int:  # fmt: skip
    """Boot guests, hammer their monitors, judge, record, compare."""
    import json
    from contextlib import ExitStack

    import anyio

    from qstress import soak as job
    from qstress.screen import Screen

    settings, kvm = _settings(config, overrides, options)
    screen = Screen(quiet=quiet, verbose=verbose, panel=not no_progress)
    screen.say(f"qstress {__version__}: {settings.name}: {settings.accel_note}")
    if settings.metrics_listen or settings.metrics_textfile:
        click.echo("warning: metrics are not served by this version", err=True)
    with ExitStack() as stack:
        begin = job.start if resume is None else partial(job.resume, run=resume)
        run = begin(settings, kvm, stack=stack, on_result=screen.on_result)

        async def followed() -> int:
            async with screen.following(run):
                return await run.run()

        code = anyio.run(followed)
        if run.error is not None:
            click.echo(f"qstress: {run.error}", err=True)
        click.echo(json.dumps(run.summary(), indent=1) if form == "json" else run.text(), nl=form == "json")
    return code


@cli.command()
@click.argument("evidence", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@format_option
def repro(evidence: Path, trials: int, form: str) -> int:
    """Run a finding again, as recorded; say how often it showed."""
    from qstress.repro import run_again

    text, code = run_again(evidence, trials, form, say=lambda line: click.echo(line, err=True))
    click.echo(text)
    return code


@cli.command()
@format_option
@click.argument("builds", nargs=-1)
def doctor(builds: tuple[str, ...], form: str) -> int:
    """Say what this host can do."""
    import json

    from qstress.host.doctor import as_json, examine, render_text

    report = examine(builds)
    click.echo(json.dumps(as_json(report), indent=1) if form == "json" else render_text(report))
    return 0 if report.can_run else EXIT_ENVIRONMENT


@cli.command()
@click.option("--build", "binary", default="qemu-system-x86_64", show_default=True, help="the QEMU to look at")
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True)
@click.option("--machine", default="pc", show_default=True)
@click.option("--arg", "arguments", multiple=True, help="one more argument for QEMU; repeatable")
@click.option("--pretend-smm", is_flag=True, help="tell QEMU that KVM has SMM")
@click.option("--bringups", type=click.IntRange(min=0), default=40, show_default=True)
@format_option
def check(
    binary: str, accel: str, machine: str, arguments: tuple[str, ...], pretend_smm: bool, bringups: int, form: str
) -> int:
    """Say in a few boots whether a QEMU guards its SMI write-back and replays an INIT."""
    import json

    import anyio

    from qstress.host import check as job

    build, chosen = job.subject(binary, accel, arguments, pretend_smm=pretend_smm)
    answers = anyio.run(partial(job.check, build, chosen, machine=machine, bringups=bringups))
    code = job.exit_code(answers)
    if form == "json":
        lines = [{"bad": answer.bad, "line": answer.line} for answer in answers]
        click.echo(json.dumps({"binary": build.binary, "version": build.version, "answers": lines, "exit_code": code}))
    else:
        click.echo("\n".join([f"{build.binary}: QEMU {build.version}", *(answer.line for answer in answers)]))
    return code


@cli.group()
def config() -> None:
    """Check, show or describe a configuration."""


file_argument = click.argument("file", type=click.Path(path_type=Path), required=False)
file_option = click.option("-c", "--config", "option", type=click.Path(path_type=Path), help="the same as FILE")


def _one(file: Path | None, option: Path | None) -> Path:
    """Return the one configuration that was named, as an argument or with -c."""
    if (path := file or option) is None or (file and option):
        raise click.UsageError("name one configuration: FILE, or -c FILE")
    return path


@config.command(name="check")
@file_argument
@file_option
@set_option
def check_config(file: Path | None, option: Path | None, overrides: tuple[str, ...]) -> int:
    """Validate FILE; print nothing but its problems."""
    file = _one(file, option)
    _loaded(file, overrides, {})
    click.echo(f"{file}: fine")
    return 0


@config.command()
@file_argument
@file_option
@set_option
def show(file: Path | None, option: Path | None, overrides: tuple[str, ...]) -> int:
    """Print FILE as resolved on this host, every default filled in."""
    import json

    from qstress.config.settings import resolved_document

    settings, _ = _settings(_one(file, option), overrides, {})
    click.echo(json.dumps(resolved_document(settings), indent=1))
    return 0


@config.command()
def schema() -> int:
    """Print the JSON Schema of a configuration file."""
    import json

    from qstress.config.schema import schema_json

    click.echo(json.dumps(schema_json(), indent=1))
    return 0


@cli.group()
def firmware() -> None:
    """Our own firmware."""


@firmware.command(name="list")
def list_firmware() -> int:
    """Print each ROM: name, path, sha256, and whether it is the committed one."""
    from qstress.guest.firmware import available

    for rom in available():
        click.echo(f"{rom.name}  {rom.path}  {rom.sha256}  {'intact' if rom.intact else 'NOT the committed one'}")
    return 0


@firmware.command()
@click.argument("out", type=click.Path(path_type=Path))
def build(out: Path) -> int:
    """Assemble smpscan into the file OUT (needs nasm and a checkout)."""
    from qstress.guest.firmware import build as assemble

    click.echo(assemble(out))
    return 0


def _loaded(path: Path, overrides: tuple[str, ...], options: Mapping[str, object]) -> Any:
    import os

    from qstress.config.load import load

    given = {key: value for key, value in options.items() if value is not None}
    return load(path, environ=os.environ, overrides=overrides, options=given)


def _settings(path: Path, overrides: tuple[str, ...], options: Mapping[str, object]) -> tuple[Settings, KvmFacts]:
    import os

    from qstress.config.kvm import probe
    from qstress.config.resolve import resolve

    loaded, kvm = _loaded(path, overrides, options), probe()
    cores = len(os.sched_getaffinity(0))
    return resolve(loaded, kvm=kvm, cores=cores, base=path.absolute().parent), kvm
