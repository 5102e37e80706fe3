"""``qstress watch``: arguments, what is printed, exit codes; :mod:`qstress.host.watch` does it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qstress.cli.options import format_option

if TYPE_CHECKING:
    from qstress.host.watch import Watcher


@click.command()
@click.option("--connect", "uri", metavar="URI", help="ask this libvirt's monitors of suspects, by virsh")
@click.option("--qmp", "sockets", metavar="SOCK", multiple=True, help="ask this QMP socket; repeatable")
@click.option("--for", "for_s", type=click.FloatRange(min=0), default=10.0, show_default=True, help="most seconds")
@click.option("--follow", is_flag=True, help="go on until a signal, and print what changes")
@click.option("--every", "every_s", type=click.FloatRange(min=0), default=1.0, show_default=True, help="seconds")
@click.option(
    "--patience", "patience_s", type=click.FloatRange(min=0.1), default=1.0, show_default=True,
    help="CPU seconds that a boot CPU may spin; three times as many where no AP has come",
)  # fmt: skip
@click.option("--textfile", type=click.Path(path_type=Path), help="with --follow: metrics for node_exporter")
@format_option
def watch(
    uri: str | None, sockets: tuple[str, ...], for_s: float, follow: bool, every_s: float, patience_s: float,
    textfile: Path | None, form: str,
) -> int:  # fmt: skip
    """Tell the guests of this host whose boot CPU waits for an AP that never ran; disturbs none."""
    import anyio

    from qstress.host.watch import Watcher

    watcher = Watcher(uri, sockets, patience_s)
    if follow:
        return anyio.run(partial(_follow, watcher, every_s, textfile, form))
    if textfile:
        raise click.UsageError("--textfile goes with --follow")
    return anyio.run(partial(_once, watcher, every_s, for_s, form))


async def _once(watcher: Watcher, every_s: float, for_s: float, form: str) -> int:
    import json

    import anyio

    from qstress.host.watch import all_told, watch_exit_code, watch_rounds

    await watcher.connect()
    began_s = anyio.current_time()
    async for seen in watch_rounds(watcher, every_s=every_s):
        watched_s = anyio.current_time() - began_s
        if watched_s >= for_s or all_told(seen, watched_s):
            break
    code = watch_exit_code(seen)
    if form == "json":
        click.echo(json.dumps({"guests": [each.document() for each in seen], "exit_code": code}, indent=1))
    else:
        click.echo("\n".join(each.text() for each in seen) or "no QEMU guest runs here")
    return code


async def _follow(watcher: Watcher, every_s: float, textfile: Path | None, form: str) -> int:
    """Print each guest whose state changes, as a line of JSON or as text, until a signal comes."""
    import json
    import signal
    from datetime import UTC, datetime

    import anyio

    from qstress.errors import INTERRUPTED_EXIT, rig_errors_alone
    from qstress.host.watch import changes, watch_rounds
    from qstress.metrics.watched import write_watch_textfile

    async def show() -> None:
        shown: dict[tuple[int, int], object] = {}
        hangs = 0
        async for seen in watch_rounds(watcher, every_s=every_s):
            at = datetime.now(UTC)
            new, shown = changes(shown, seen)
            hangs += sum(each.hung for each in new)
            for each in new:
                said = {"at": at.isoformat(timespec="milliseconds"), **each.document()}
                click.echo(json.dumps(said) if form == "json" else f"{at:%Y-%m-%dT%H:%M:%SZ}  {each.text()}")
            if textfile:
                write_watch_textfile(textfile, [each.seen.state for each in seen], hangs, at.timestamp())

    await watcher.connect()
    with rig_errors_alone(), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(show)
            number = await anext(signals)
            tasks.cancel_scope.cancel()
    return INTERRUPTED_EXIT[number]
