"""The command line: arguments, wiring, exit codes; the only room that prints.

Results go to stdout, progress and logs to stderr. Everything heavy is imported by the command that needs it, so that
``--help`` stays quick.
"""

from __future__ import annotations

import signal
import sys
import traceback

import click

from qstress import __version__
from qstress.cli.bisecting import bisect
from qstress.cli.configs import config
from qstress.cli.emulated import emulated_hosts
from qstress.cli.fleet import fleet
from qstress.cli.fuzzing import fuzz, reduce
from qstress.cli.host import build_qemu, check, doctor, explain_dumps, firmware
from qstress.cli.kernel import kernels
from qstress.cli.nightly import nightly
from qstress.cli.options import EXIT_ENVIRONMENT, EXIT_INTERNAL, EXIT_USAGE
from qstress.cli.runs import compare_recorded, export_trials, report, repro, runs, soak
from qstress.cli.survey import survey_commands
from qstress.cli.watch import watch
from qstress.errors import INTERRUPTED_EXIT, ConfigError, RigError


def main() -> None:
    """Entry point: run the command line and turn errors into one line and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = INTERRUPTED_EXIT[signal.SIGINT]
    except ConfigError as error:
        code = _failed(str(error), EXIT_USAGE)
    except RigError as error:
        code = _failed(f"qstress: {error}", EXIT_ENVIRONMENT)
    except BrokenPipeError:
        code = 0
    except Exception:
        traceback.print_exc()
        code = _failed("qstress: internal error; please report the lines above", EXIT_INTERNAL)
    except BaseExceptionGroup as group:  # a signal that came below an event loop
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        code = INTERRUPTED_EXIT[signal.SIGINT]
    sys.exit(code)


def _failed(message: str, code: int) -> int:
    click.echo(message, err=True)
    return code


def _tell_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    """Print our version, and the QEMU that a plain name means here."""
    if not asked or context.resilient_parsing:
        return
    import os
    from pathlib import Path

    from qstress.config.binary import find_binary, qemu_version
    from qstress.config.layers import QEMU, UNDER_TEST

    click.echo(f"qstress, version {__version__}")
    try:
        path = find_binary(os.environ.get(UNDER_TEST) or QEMU, Path.cwd())
        click.echo(f"QEMU, version {qemu_version(path, {})} ({path})")
    except RigError as error:
        click.echo(f"QEMU: {error}")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_tell_version,
    help="Show the versions of qstress and of the QEMU found, and exit.",
)  # fmt: skip
def cli() -> None:
    """Fuzz and soak-test live QEMU guests through their monitors."""


for _command in (
    *(soak, nightly, report, compare_recorded, export_trials, runs, repro),
    *(fuzz, reduce, bisect, watch),
    *(doctor, check, survey_commands, explain_dumps, build_qemu, firmware, config, emulated_hosts, kernels, fleet),
):
    cli.add_command(_command)
