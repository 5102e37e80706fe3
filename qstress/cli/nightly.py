"""``qstress nightly``: one night's soak, for a timer, a workflow or a container."""

from __future__ import annotations

from pathlib import Path

import click

from qstress.cli.options import config_names


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), default="nightly.yaml", show_default=True,
    envvar="NIGHTLY_CONFIG", shell_complete=config_names,
    help="the YAML file, or the name of a shipped one",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path), default="runs/nightly", show_default=True, envvar="NIGHTLY_STATE",
    help="the folder that keeps everything",
)  # fmt: skip
@click.option(
    "--metrics", type=click.Path(path_type=Path), envvar="NIGHTLY_METRICS",
    help="the folder of the textfile for node_exporter; metrics/ in --state",
)  # fmt: skip
@click.option(
    "--keep", type=click.IntRange(min=1), default=30, show_default=True, envvar="NIGHTLY_KEEP",
    help="how many runs are kept, beside the newest that passed",
)  # fmt: skip
@click.argument("soak_arguments", nargs=-1, type=click.UNPROCESSED)
def nightly(config: Path, state: Path, metrics: Path | None, keep: int, soak_arguments: tuple[str, ...]) -> int:
    """Run one night: soak, keep what it found, say what to do next, end with the soak's exit code.

    Other options and arguments go to qstress soak, such as --set stop.duration=20m."""
    from qstress.run.nightly import Nights

    code, printed = Nights(config, state, metrics or state / "metrics", keep).run(soak_arguments)
    click.echo(printed, nl=False)
    return code
