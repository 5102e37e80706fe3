"""The live panel of a terminal. The only module of reports that needs rich."""

from __future__ import annotations

from rich.console import RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qstress.report.progress import RunProgress, hung_text
from qstress.report.wording import duration, evidence


def renderable(now: RunProgress, title: str = "qstress") -> RenderableType:
    """Return a panel: progress and time left, one row per build, rate of trials, evidence, lanes.

    :param title: the run's name; shown as it is, never read as markup.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    of = "" if now.trials_planned is None else f" of {now.trials_planned}"
    left = "" if now.left_s is None else f", about {duration(now.left_s)} left"
    if now.share is not None:
        grid.add_row("progress", ProgressBar(total=1.0, completed=now.share, width=40))
    grid.add_row("trials", f"{now.trials}{of} in {duration(now.elapsed_s)}{left}")
    for build in now.builds:
        words = Text(hung_text(build), style="bold" if build.findings else "")
        grid.add_row(Text(build.name), words)
    if now.evidence_log10 is not None:
        grid.add_row("evidence", evidence(now.evidence_log10))
    grid.add_row("speed", f"{now.trials_per_s:.3g} trials/s, {now.running} guests in {now.lanes} lanes")
    return Panel(grid, title=Text(title), title_align="left", expand=False)
