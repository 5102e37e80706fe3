"""The commands of runs: made, reported, compared, listed, and a finding run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qstress.cli.emulated import host_option
from qstress.cli.options import (
    coloured,
    config_options,
    format_option,
    load_with_overrides,
    one_config,
    quiet_option,
    report_option,
    run_argument,
    unsafe_option,
)

if TYPE_CHECKING:
    from qstress.config.settings import Settings
    from qstress.recorded.run import Recorded
    from qstress.run.emulated import Place
    from qstress.run.placed import Where


@click.command()
@config_options
@click.option("--seed", type=int, help="the seed of the plan")
@click.option("--lanes", help="guests at once, or auto")
@click.option("--runs-dir", help="where runs are recorded")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="go on with this run; needs no -c",
)
@click.option("--host", metavar="this|emulated[:KERNEL]", help="where guests run: here, or on an emulated KVM host")
@click.option("--workers", metavar="N|auto", help="processes of qstress that share the lanes")
@click.option("--fleet", metavar="URL", help="guests run on the workers of this scheduler of dask's")
@report_option
@quiet_option
@click.option("-v", "--verbose", is_flag=True, help="a line for each trial")
@click.option("--no-progress", is_flag=True, help="neither how far it is nor findings as they come")
def soak(
    file: Path | None, option: Path | None, overrides: tuple[str, ...], resume: Path | None, form: str, quiet: bool,
    verbose: bool, no_progress: bool, **options: object,
) -> int:  # fmt: skip
    """Boot guests as FILE says, hammer their monitors, judge, record, compare.

    FILE is a configuration, or the name of one that qstress ships."""
    from qstress.config.resolve import fleet_settings, resolve
    from qstress.recorded.extend import settings_to_go_on
    from qstress.recorded.reports import printed
    from qstress.run.placed import run_placed
    from qstress.run.screen import Screen

    screen = Screen(quiet=quiet, verbose=verbose, progress=not no_progress)
    options["fleet.scheduler"] = options.pop("fleet")
    if resume is not None and not (file or option):
        again = settings_to_go_on(resume, overrides, options)
        entry: Where = again.fleet or again.host or dict(again.hosts) or None

        def settings_in(place: Place) -> Settings:
            return again
    else:
        path = one_config(file, option)
        loaded = load_with_overrides(path, overrides, options)
        base = path.absolute().parent
        entry = fleet_settings(loaded, base) or loaded.host or loaded.hosts or None

        def settings_in(place: Place) -> Settings:
            return resolve(
                loaded, kvm=place.kvm, cores=place.cores, base=base, host=place.settings, hosts=place.host_settings
            )

    run = run_placed(entry, settings_in, screen, resume)
    if run.error is not None:
        click.echo(f"qstress: {run.error}", err=True)
    if form == "github":
        _tell_github(run.recorded())
    else:
        said = run.text(colour=coloured()) if form == "text" else printed(run.recorded(), form)
        click.echo(said, nl=False)
    return run.exit_code


@click.command()
@run_argument
@click.option("--bug", type=click.IntRange(min=1), metavar="N", help="print its N-th bug as a report for QEMU instead")
@report_option
def report(run: Path, bug: int | None, form: str) -> int:
    """Write report.html and junit.xml of RUN again, and print its summary; of a fuzzing session, print it."""
    from qstress.recorded.bug_reports import printed_bug, write_rates
    from qstress.recorded.reports import printed, write_files
    from qstress.recorded.run import open_recorded
    from qstress.recorded.sessions import printed_session, printed_session_bug
    from qstress.store.read import is_fuzzing_session

    if is_fuzzing_session(run):
        click.echo(printed_session_bug(run, bug) if bug else printed_session(run, form), nl=False)
        return 0
    recorded = open_recorded(run)
    if bug:
        click.echo(printed_bug(recorded, bug), nl=False)
        return 0
    write_rates(recorded)
    for path in write_files(recorded):
        click.echo(str(path), err=True)
    if form == "github":
        _tell_github(recorded)
    else:
        click.echo(printed(recorded, form, colour=coloured()), nl=False)
    return 0


@click.command(name="compare")
@run_argument
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="compare two runs that are not comparable, too")
@format_option
def compare_recorded(run: Path, other: Path | None, force: bool, form: str) -> int:
    """Do the statistics of RUN again, or compare its baseline with the candidates of a second run, OTHER."""
    if other is not None:
        from qstress.recorded.compare import compare_runs

        click.echo(compare_runs(run, other, form, force=force), nl=False)
        return 0
    from qstress.recorded.reports import printed
    from qstress.recorded.run import open_recorded

    recorded = open_recorded(run)
    click.echo(printed(recorded, form, colour=coloured()), nl=False)
    return recorded.standing.exit_code


@click.command(name="export")
@run_argument
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
def export_trials(run: Path, form: str) -> int:
    """Print RUN as a table, a row a trial, for spreadsheets and notebooks."""
    from qstress.recorded.export import exported

    sys.stdout.writelines(exported(run, form))
    return 0


@click.command()
@click.option("--runs-dir", type=click.Path(path_type=Path), default="runs", show_default=True)
@click.option("--format", "form", type=click.Choice(["text", "json", "openmetrics"]), default="text")
def runs(runs_dir: Path, form: str) -> int:
    """List recorded runs, newest first; as openmetrics: what they counted, for Prometheus to backfill."""
    import json

    from qstress.metrics.history import openmetrics
    from qstress.recorded import listing
    from qstress.store.read import list_runs, open_run

    found = list_runs(runs_dir)
    if form == "openmetrics":
        summaries = []
        for path in (entry.path for entry in found if entry.finished and entry.kind == "soak"):
            with open_run(path) as record:
                summaries.append(record.summary or {})
        click.echo(openmetrics(summaries), nl=False)
        return 0
    text = (
        listing.listing_text(found) if form == "text" else json.dumps(listing.listing_document(found), indent=1) + "\n"
    )
    click.echo(text, nl=False)
    return 0


@click.command()
@host_option
@click.argument("evidence", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--build", metavar="BIN", help="another QEMU to run it on")
@unsafe_option
@format_option
def repro(evidence: Path, trials: int, build: str | None, unsafe: bool, form: str) -> int:
    """Run a finding again, as recorded; say how often it showed."""
    from qstress.fuzz import finding_commands
    from qstress.run.repro import run_again

    def say(line: str) -> None:
        click.echo(line, err=True)

    if finding_commands.is_fuzz_finding(evidence):
        text, code = finding_commands.replay_finding(evidence, trials, form, build=build, sandboxed=not unsafe, say=say)
        click.echo(text)
        return code
    text, code = run_again(evidence, trials, form, say=say, binary=build)
    click.echo(text)
    return code


def _tell_github(run: Recorded) -> None:
    """Print the error lines, and add to the step's summary where there is one."""
    import os

    from qstress.recorded.reports import add_step_summary, printed

    click.echo(printed(run, "github"), nl=False)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        add_step_summary(run, Path(path))
