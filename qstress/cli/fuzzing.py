"""The commands of fuzzing: a session, and a finding of one made smaller."""

from __future__ import annotations

from pathlib import Path

import click

from qstress import __version__
from qstress.cli.options import (
    config_options,
    format_option,
    load_with_overrides,
    one_config,
    quiet_option,
    unsafe_option,
)


@click.command()
@config_options
@click.option("--seed", type=int, help="the seed of everything random")
@click.option("--runs-dir", help="where sessions are recorded")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="go on with this session")
@unsafe_option
@format_option
@quiet_option
def fuzz(
    file: Path | None, option: Path | None, overrides: tuple[str, ...], resume: Path | None, unsafe: bool, form: str,
    quiet: bool, **options: object,
) -> int:  # fmt: skip
    """Fuzz the monitors of live, confined guests as FILE says."""
    import json
    import os

    from qstress.config.fuzzing import fuzz_settings
    from qstress.config.kvm import probe
    from qstress.config.resolve import resolve
    from qstress.fuzz import job
    from qstress.fuzz.summary import summary_text
    from qstress.host.facts import host_facts

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    config = one_config(file, option)
    loaded, kvm, base = load_with_overrides(config, overrides, options), probe(), config.absolute().parent
    loaded = job.for_confined(loaded, sandboxed=not unsafe)
    how = fuzz_settings(loaded, base)
    settings = resolve(loaded, kvm=kvm, cores=len(os.sched_getaffinity(0)), base=base)
    prepared = job.prepare(settings, how, host=host_facts(kvm), sandboxed=not unsafe, resume=resume)
    say(f"qstress {__version__}: {settings.name}: {prepared.note}")
    session = job.session(prepared, say)
    code = job.run(prepared, session)
    folder = os.path.relpath(prepared.folder)
    click.echo(json.dumps(session.document(), indent=1) if form == "json" else summary_text(session.document(), folder))
    return code


@click.command()
@click.argument("evidence", type=click.Path(path_type=Path))
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=10, show_default=True)
@click.option("--build", metavar="BIN", help="another QEMU to run it on")
@unsafe_option
def reduce(evidence: Path, minutes: float, build: str | None, unsafe: bool) -> int:
    """Make a finding of a fuzzing session smaller, and say how sure it is."""
    from qstress.fuzz.finding_commands import reduce_finding

    text, code = reduce_finding(evidence, budget_s=60 * minutes, build=build, sandboxed=not unsafe)
    click.echo(text)
    return code
