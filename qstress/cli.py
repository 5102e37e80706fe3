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
    from qstress.recorded.run import Recorded

EXIT_USAGE, EXIT_INTERNAL, EXIT_ENVIRONMENT = 2, 3, 4

file_argument = click.argument("file", type=click.Path(path_type=Path), required=False)
file_option = click.option(
    "-c", "--config", "option", type=click.Path(path_type=Path),
    help="the YAML file, or the name of a shipped one (qstress config list); the same as FILE",
)  # fmt: skip
set_option = click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="override one setting")
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
report_option = click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text")
unsafe_option = click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="fuzzed QEMU may harm this host")
run_argument = click.argument("run", type=click.Path(path_type=Path))


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
@file_argument
@file_option
@set_option
@click.option("--seed", type=int, help="the seed of the plan")
@click.option("--lanes", help="guests at once, or auto")
@click.option("--runs-dir", help="where runs are recorded")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="go on with this run; needs no -c",
)
@report_option
@click.option("-q", "--quiet", is_flag=True, help="no progress")
@click.option("-v", "--verbose", is_flag=True, help="a line for each trial")
@click.option("--no-progress", is_flag=True, help="neither how far it is nor findings as they come")
def soak(
    file: Path | None, option: Path | None, overrides: tuple[str, ...], resume: Path | None, form: str, quiet: bool,
    verbose: bool, no_progress: bool, **options: object,
) -> int:  # fmt: skip
    """Boot guests as FILE says, hammer their monitors, judge, record, compare.

    FILE is a configuration, or the name of one that qstress ships."""
    import json
    from contextlib import ExitStack

    import anyio

    from qstress.config.kvm import probe
    from qstress.metrics.exporter import Exporter
    from qstress.recorded.extend import settings_to_go_on
    from qstress.run import soak as job
    from qstress.run.screen import Screen

    if resume is not None and not (file or option):
        settings, kvm = settings_to_go_on(resume, overrides, options), probe()
    else:
        settings, kvm = _settings(_one(file, option), overrides, options)
    screen = Screen(quiet=quiet, verbose=verbose, progress=not no_progress)
    screen.say(f"qstress {__version__}: {settings.name}: {settings.accel_note}")
    with ExitStack() as stack:
        exporter = stack.enter_context(
            Exporter(settings.metrics_listen, settings.metrics_textfile, settings.name, screen.say)
        )
        if exporter.url:
            screen.say(f"metrics: {exporter.url}")
        begin = job.start if resume is None else partial(job.resume, run=resume)
        run = begin(settings, kvm, stack=stack, on_result=screen.on_result)

        async def followed() -> int:
            async with exporter.following(run.measured), screen.following(run):
                return await run.run()

        code = anyio.run(followed)
        if run.error is not None:
            click.echo(f"qstress: {run.error}", err=True)
        if form == "github":
            _tell_github(run.recorded())
        else:
            click.echo(
                json.dumps(run.summary(), indent=1) if form == "json" else run.text(colour=_colour()), nl=form == "json"
            )
    return code


@cli.command()
@run_argument
@report_option
def report(run: Path, form: str) -> int:
    """Write report.html and junit.xml of RUN again, and print its summary; of a fuzzing session, print it."""
    from qstress.recorded.reports import printed, write_files
    from qstress.recorded.run import open_recorded
    from qstress.recorded.sessions import printed_session
    from qstress.store.read import is_fuzzing_session

    if is_fuzzing_session(run):
        click.echo(printed_session(run, form), nl=False)
        return 0
    recorded = open_recorded(run)
    for path in write_files(recorded):
        click.echo(str(path), err=True)
    if form == "github":
        _tell_github(recorded)
    else:
        click.echo(printed(recorded, form, colour=_colour()), nl=False)
    return 0


@cli.command(name="compare")
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
    click.echo(printed(recorded, form, colour=_colour()), nl=False)
    return recorded.standing.exit_code


@cli.command()
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


@cli.command()
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


@cli.command()
@file_argument
@file_option
@set_option
@click.option("--seed", type=int, help="the seed of everything random")
@click.option("--runs-dir", help="where sessions are recorded")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="go on with this session")
@unsafe_option
@format_option
@click.option("-q", "--quiet", is_flag=True, help="no progress")
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

    config = _one(file, option)
    loaded, kvm, base = _loaded(config, overrides, options), probe(), config.absolute().parent
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


@cli.command()
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


@cli.command()
@format_option
@click.argument("builds", nargs=-1)
def doctor(builds: tuple[str, ...], form: str) -> int:
    """Say what this host can do."""
    import json

    from qstress.host.doctor import doctor_json, examine_host, render_text

    report = examine_host(builds)
    click.echo(json.dumps(doctor_json(report), indent=1) if form == "json" else render_text(report))
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

    build, chosen = job.build_under_check(binary, accel, arguments, pretend_smm=pretend_smm)
    answers = anyio.run(partial(job.run_check, build, chosen, machine=machine, bringups=bringups))
    code = job.check_exit_code(answers)
    if form == "json":
        lines = [{"bad": answer.bad, "line": answer.line} for answer in answers]
        click.echo(json.dumps({"binary": build.binary, "version": build.version, "answers": lines, "exit_code": code}))
    else:
        click.echo("\n".join([f"{build.binary}: QEMU {build.version}", *(answer.line for answer in answers)]))
    return code


@cli.command(name="explain")
@click.argument("file", type=click.Path(exists=True, allow_dash=True, path_type=Path), required=False)
@click.option("--qmp", "qmp_socket", metavar="SOCK", help="look at the living guest behind this QMP socket instead")
@click.option("--dump", is_flag=True, help="with --qmp: dump its registers twice, too")
@format_option
def explain_dumps(file: Path | None, qmp_socket: str | None, dump: bool, form: str) -> int:
    """Say what pasted register dumps, or a kernel's log, show: FILE, or standard input.

    Where FILE is the evidence folder of a finding, say what its events amount to today.
    """
    import json

    from qstress.verdict.explain.show import explanation_json, explanation_text

    if (file and qmp_socket) or (dump and not qmp_socket):
        raise click.UsageError("name FILE, or --qmp SOCK with or without --dump")
    if file is not None and (file.is_dir() or file.name == "journal.jsonl"):
        from qstress.run.rejudge import judge_again

        click.echo(judge_again(file, form))
        return 0
    if qmp_socket:
        import anyio

        from qstress.host.explain import explain_live

        answer = anyio.run(partial(explain_live, qmp_socket, dump=dump))
    else:
        from qstress.hostlog.answer import explain_log
        from qstress.verdict.explain import pasted

        with sys.stdin.buffer if file is None or str(file) == "-" else file.open("rb") as source:
            text = source.read(pasted.MOST_BYTES)
        if (log := explain_log(text)) is not None:
            click.echo(json.dumps(log.document(), indent=1) if form == "json" else log.text())
            return 0
        answer = pasted.explain_text(text)
    click.echo(json.dumps(explanation_json(answer), indent=1) if form == "json" else explanation_text(answer))
    return 0


def _preview_patches(source: Path, files: tuple[Path, ...], form: str) -> int:
    import json

    from qstress.qemu_build.patches import preview

    patches, refused = preview(files, source)
    if form == "json":
        said = [{"subject": each.subject, "author": each.author, "files": list(each.files)} for each in patches]
        click.echo(json.dumps({"applies": not refused, "patches": said, "refused": refused or None}, indent=1))
        return 2 if refused else 0
    for patch in patches:
        click.echo(patch.described)
    if refused:
        raise ConfigError(refused)
    click.echo("would be applied; nothing is built" if patches else "no patch")
    return 0


@cli.command(name="build")
@click.option("--source", type=click.Path(path_type=Path), required=True, help="a QEMU tree; it stays as it is")
@click.option(
    "--patch",
    "patches",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE|MBOX",
    help="a patch mail, an mbox or a diff; repeatable",
)
@click.option("--out", type=click.Path(path_type=Path), help="gets bin/NAME, its provenance, its ROMs")
@click.option("--name", default="qemu-system-x86_64", show_default=True, help="what the binary is called")
@click.option("-q", "--quiet", is_flag=True, help="no progress")
@click.option("--dry-run", is_flag=True, help="say what would be applied, and from whom; build nothing")
@format_option
def build_qemu(
    source: Path, patches: tuple[Path, ...], out: Path | None, name: str, quiet: bool, dry_run: bool, form: str
) -> int:
    """Build a QEMU from a tree and patch mails, for a soak; print the binary's path."""
    if dry_run:
        return _preview_patches(source, patches, form)
    if out is None:
        raise click.UsageError("--out is missing, or --dry-run")
    from qstress.qemu_build.build import build

    click.echo(build(source, patches, out, name, lambda line: None if quiet else click.echo(line, err=True)))
    return 0


@cli.group()
def config() -> None:
    """Check, show or describe a configuration."""


@config.command(name="list")
def list_configs() -> int:
    """Print each shipped configuration: its name, and what it is for."""
    from qstress.config.shipped import about, shipped

    for name, path in shipped().items():
        click.echo(f"{name:16} {about(path)}")
    return 0


@config.command()
@click.argument("name")
def init(name: str) -> int:
    """Copy the shipped configuration NAME into the working directory, to be changed."""
    from qstress.config.shipped import find_config

    source = find_config(Path(name))
    copy = Path(source.name)
    try:
        with copy.open("x") as file:
            file.write(source.read_text())
    except FileExistsError:
        raise ConfigError(f"{copy}: is there already; it is left as it is") from None
    except OSError as error:
        raise RigError(f"{copy}: cannot be written: {error.strerror}", reason="config-init") from error
    click.echo(str(copy))
    return 0


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
    from qstress.firmware.rom import available_roms

    for rom in available_roms():
        click.echo(f"{rom.name}  {rom.path}  {rom.sha256}  {'intact' if rom.intact else 'NOT the committed one'}")
    return 0


@firmware.command(name="build")
@click.argument("out", type=click.Path(path_type=Path))
def build_firmware(out: Path) -> int:
    """Assemble smpscan into the file OUT (needs nasm and a checkout)."""
    from qstress.firmware import SMPSCAN
    from qstress.firmware.rom import assemble

    click.echo(assemble(SMPSCAN.name, out))
    return 0


def _colour() -> bool:
    """Whether results may be coloured: on a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _tell_github(run: Recorded) -> None:
    """Print the error lines, and add to the step's summary where there is one."""
    import os

    from qstress.recorded.reports import add_step_summary, printed

    click.echo(printed(run, "github"), nl=False)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        add_step_summary(run, Path(path))


def _one(file: Path | None, option: Path | None) -> Path:
    """Return the one configuration that was named, as an argument or with -c: a file, or a shipped one."""
    from qstress.config.shipped import find_config

    if (path := file or option) is None or (file and option):
        raise click.UsageError("name one configuration: FILE, or -c FILE")
    return find_config(path)


def _loaded(path: Path, overrides: tuple[str, ...], options: Mapping[str, object]) -> Any:
    import os

    from qstress.config.load import load_config

    given = {key: value for key, value in options.items() if value is not None}
    return load_config(path, environ=os.environ, overrides=overrides, options=given)


def _settings(path: Path, overrides: tuple[str, ...], options: Mapping[str, object]) -> tuple[Settings, KvmFacts]:
    import os

    from qstress.config.kvm import probe
    from qstress.config.resolve import resolve

    loaded, kvm = _loaded(path, overrides, options), probe()
    cores = len(os.sched_getaffinity(0))
    return resolve(loaded, kvm=kvm, cores=cores, base=path.absolute().parent), kvm
