"""The commands that ask this host, one QEMU or a text, and that build a QEMU or a ROM."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from qstress.cli.emulated import host_option
from qstress.cli.options import EXIT_ENVIRONMENT, format_option, patches_option, quiet_option
from qstress.errors import ConfigError


@click.command()
@host_option
@format_option
@click.argument("builds", nargs=-1)
def doctor(builds: tuple[str, ...], form: str) -> int:
    """Say what this host can do."""
    import json

    from qstress.host.doctor import doctor_json, examine_host, render_text

    report = examine_host(builds)
    click.echo(json.dumps(doctor_json(report), indent=1) if form == "json" else render_text(report))
    return 0 if report.can_run else EXIT_ENVIRONMENT


@click.command()
@host_option
@click.option(
    "--build", "binary", default="qemu-system-x86_64", show_default=True, envvar="QEMU_TEST_QEMU_BINARY",
    show_envvar=True, help="the QEMU to look at",
)  # fmt: skip
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True)
@click.option("--machine", default="pc", show_default=True)
@click.option("--arg", "arguments", multiple=True, help="one more argument for QEMU; repeatable")
@click.option("--pretend-smm", is_flag=True, help="tell QEMU that KVM has SMM")
@click.option("--bringups", type=click.IntRange(min=0), default=100, show_default=True)
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


@click.command(name="explain")
@click.argument("file", type=click.Path(exists=True, allow_dash=True, path_type=Path), required=False)
@click.option("--qmp", "qmp_socket", metavar="SOCK", help="look at the living guest behind this QMP socket instead")
@click.option("--libvirt", "domain", metavar="DOMAIN", help="look at this guest of libvirt's (by virsh) instead")
@click.option("--connect", "uri", metavar="URI", help="with --libvirt: which libvirt, as virsh takes it")
@click.option("--dump", is_flag=True, help="with --qmp or --libvirt: dump its registers twice, too")
@format_option
def explain_dumps(
    file: Path | None, qmp_socket: str | None, domain: str | None, uri: str | None, dump: bool, form: str
) -> int:
    """Say what pasted register dumps, or a kernel's log, show: FILE, or standard input.

    Where FILE is the evidence folder of a finding, say what its events amount to today.
    """
    import json

    from qstress.verdict.explain.show import explanation_json, explanation_text

    living = bool(qmp_socket) + bool(domain)
    if (bool(file) + living > 1) or (dump and not living) or (uri and not domain):
        raise click.UsageError("name FILE, or --qmp SOCK or --libvirt DOMAIN [--connect URI] with or without --dump")
    if file is not None and (file.is_dir() or file.name == "journal.jsonl"):
        from qstress.run.rejudge import judge_again

        click.echo(judge_again(file, form))
        return 0
    if living:
        import anyio

        from qstress.host.explain import explain_domain, explain_live

        look = partial(explain_domain, domain, uri) if domain else partial(explain_live, qmp_socket or "")
        answer = anyio.run(partial(look, dump=dump))
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


@click.command(name="build")
@click.option("--source", type=click.Path(path_type=Path), required=True, help="a QEMU tree; it stays as it is")
@patches_option("a patch mail, an mbox or a diff; repeatable")
@click.option("--out", type=click.Path(path_type=Path), help="gets bin/NAME, its provenance, its ROMs")
@click.option("--name", default="qemu-system-x86_64", show_default=True, help="what the binary is called")
@quiet_option
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


@click.group()
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
