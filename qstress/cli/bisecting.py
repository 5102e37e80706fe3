"""The command that finds the revision of QEMU which brought a fault."""

from __future__ import annotations

from pathlib import Path

import click

from qstress.cli.options import file_option, format_option, quiet_option, set_option


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help="a QEMU repository; it is only read")
@click.option("--good", required=True, metavar="REV", help="a revision without the fault")
@click.option("--bad", required=True, metavar="REV", help="a later one that has it")
@file_option
@set_option
@click.option("--by", type=click.Choice(["rate", "trial", "check"]), default="rate", show_default=True,
              help="what tells: a racy finding's rate, one trial, or one boot of qstress check")  # fmt: skip
@click.option("--class", "classes", multiple=True, metavar="CLASS", help="the finding that counts; repeatable; any")
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), default=0.99, show_default=True)
@click.option("--tests", type=click.IntRange(min=1), default=1000, show_default=True, help="no more than so many")
@click.option("--out", type=click.Path(path_type=Path), default="bisect", show_default=True, help="keeps what is built")
@click.option("--step", is_flag=True, hidden=True, help="test what is checked out, for git bisect run")
@quiet_option
@format_option
def bisect(
    source: Path, good: str, bad: str, option: Path | None, overrides: tuple[str, ...], by: str,
    classes: tuple[str, ...], confidence: float, tests: int, out: Path, step: bool, quiet: bool, form: str,
) -> int:  # fmt: skip
    """Find the first revision of a QEMU repository that shows what FILE's first build shows."""
    import json

    from qstress.cli.options import one_config, settings_of_file
    from qstress.errors import QstressError
    from qstress.model import FindingClass
    from qstress.qemu_build.revisions import RevisionBuilds, revisions_between
    from qstress.run import bisect as job

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    if unknown := set(classes) - set(FindingClass):
        raise click.UsageError(f"--class {unknown.pop()}: one of {', '.join(FindingClass)}")
    path = one_config(None, option)
    settings, _ = settings_of_file(path, overrides, {})
    wanted = [FindingClass(name) for name in classes]
    test = job.test_by_check(settings) if by == "check" else job.test_by_trials(settings, wanted, say)
    builds = RevisionBuilds(source, out.absolute(), say)
    if step:
        try:
            return job.one_step(builds, test)
        except QstressError as error:
            click.echo(f"qstress: {error}", err=True)
            return job.GIVE_UP
    revisions = revisions_between(source, good, bad)
    builds.prepare()
    say(f"{len(revisions)} revisions from {revisions[-1]} to {revisions[0]}")
    if by == "rate":
        found = job.bisect_racy(revisions, builds, test, confidence=confidence, most_tests=tests, say=say)
    else:
        places = [str(place.absolute()) for place in (source, path, out)]
        again = ["--source", places[0], "--good", good, "--bad", bad, "-c", places[1], "--by", by, "--out", places[2]]
        again += [word for name in classes for word in ("--class", name)]
        again += [word for each in overrides for word in ("--set", each)]
        found = job.bisect_by_steps(revisions, builds, job.step_command(again), say=say)
    click.echo(json.dumps(found.document, indent=1) if form == "json" else found.text)
    return 0 if by != "rate" or found.probability >= confidence else 5
