"""Every command line that a document shows is carried out by the installed wheel, in a folder that was empty.

A line is typed as it stands, with its names filled in (``FILE``, ``RUN``) and made short by more options at its end;
what is not carried out says why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from qstress.cli import cli
from qstress.config.kvm import probe
from tests.docs.markdown import DOCUMENTS
from tests.docs.test_commands import HISTORY, shown
from tests.host.trees import diff, mail, tree
from tests.packaging.conftest import ROOT, Installed

pytestmark = [pytest.mark.xdist_group("live"), pytest.mark.timeout(150)]

QEMU = "qemu-system-x86_64"


class Typed(NamedTuple):
    """A documented line without its comment, or the bare name of a command; the options typed after it, the exit codes
    that it may end with, and what it prints among else."""

    documented: str
    more: tuple[str, ...] = ()
    codes: tuple[int, ...] = (0,)
    prints: str = ""


def soak(documented: str, **settings: str | int) -> Typed:
    """Return a soak of a second or two, which is too little to tell anything."""
    few = {"stop.trials": 2, **{name.replace("__", "."): value for name, value in settings.items()}}
    return Typed(documented, (*(f"--set={name}={value}" for name, value in few.items()), "-q"), (5,))


#: In this order: the first soak's run and finding are those that later ones name.
CARRIED_OUT = (
    soak("qstress soak NAME --format tap --quiet", builds__unpatched__inject__lost_ap=1),
    Typed("qstress soak --resume RUN", ("--set=stop.trials=3", "-q"), (5,), "lost-init"),
    soak("qstress soak --config FILE --resume RUN", builds__unpatched__inject__lost_ap=1, stop__trials=3),
    Typed("qstress report", ("{run}",), prints="lost-init"),
    Typed("qstress compare RUN", codes=(5,), prints="lost-init"),
    Typed("qstress compare RUN OTHER", codes=(0, 1, 5)),
    Typed("qstress compare RUN_BEFORE RUN_NOW", codes=(0, 1, 5)),
    Typed("qstress export RUN", prints="trial,"),
    Typed("qstress runs", prints="20"),
    Typed("qstress runs --format openmetrics > history.om", prints="# HELP"),
    Typed("qstress repro FOLDER [--build OTHER]", ("--trials=1",), (0, 1)),
    Typed("qstress explain FOLDER", prints="lost-init (certain)"),
    Typed("qstress explain dump.txt", prints="lost-init ("),
    Typed("qstress explain --format json", prints="{"),
    Typed("qstress config init quickstart", prints="quickstart.yaml"),
    Typed("qstress config check FILE", prints=""),
    Typed("qstress config show", ("injected",), prints="{"),
    Typed("qstress config list", prints="emulated"),
    Typed("qstress config schema", prints="{"),
    Typed("qstress firmware list"),
    Typed("qstress host list"),
    Typed("qstress doctor"),
    Typed("qstress --version", prints="qstress, version "),
    Typed("qstress watch", ("--for=0",), (0, 1, 5)),
    Typed("qstress watch --format json", ("--for=0",), (0, 1, 5), "{"),
    Typed("qstress build --dry-run --source qemu-7.2+dfsg --patch docs/smi-writeback.patch", prints="smi-writeback"),
    Typed("qstress check --build BIN --pretend-smm", ("--bringups=2",), (0, 1, 5), QEMU),
    Typed("qstress survey --monitoring FILE", ("--sendings=1", "--bringups=0", "-q"), (0, 1)),
    Typed("qstress fuzz --config fuzz.yaml", ("--set=stop.duration=1s", "-q"), (0, 1, 5)),
    soak("qstress soak quickstart", guest__accel="tcg"),
    Typed(
        "qstress nightly --config my.yaml --state /srv/qstress", ("--set=stop.trials=2", "--set=guest.smp=2"), (1, 5)
    ),
)
#: Without KVM there is nothing to survey.
NEEDS_KVM = "qstress survey --monitoring FILE"

_EACH = ".ci/installed soaks each shipped configuration: test_each_soak_begins_and_ends"
_FLEET = "needs a fleet: tests/live/test_fleet.py runs it with one"
_BUILDS = "builds QEMU, which takes minutes to hours: tests/qemu_build/ with a tree of a few lines"
_KERNEL = "needs a kernel from a distribution's archive: make test-emulated"
_LINUX = "builds Linux, which takes a quarter of an hour and more: tests/kernel_build/ with a tree of a few lines"
NOT_CARRIED_OUT = {
    "qstress soak --config kick-storm.yaml": _EACH,
    "qstress soak --config patched-or-not.yaml": _EACH,
    "qstress soak four-arms": _EACH,
    "qstress soak --workers N": _FLEET,
    "qstress soak race.yaml --lanes 16 --workers auto": _FLEET,
    "qstress fleet check race.yaml --fleet tls://head:8786": _FLEET,
    "qstress soak race.yaml --fleet tls://head:8786": _FLEET,
    "qstress build --source DIR --patch FILE --out DIR": _BUILDS,
    "qstress build --source qemu-7.2+dfsg --out ~/qemu-builds --name unpatched": _BUILDS,
    "qstress build --source qemu-7.2+dfsg --patch docs/smi-writeback.patch --out ~/qemu-builds --name patched": _BUILDS,
    "qstress bisect --source TREE --good REV --bad REV": _BUILDS,
    "qstress bisect --source qemu --good v7.2.0 --bad v8.0.0 --config race-hold.yaml --class lost-init": _BUILDS,
    "qstress bisect --source qemu --good v7.2.0 --bad v8.0.0 --config race.yaml --by check": _BUILDS,
    "qstress host fetch [VERSION]": _KERNEL,
    "qstress host fetch 6.12": _KERNEL,
    "qstress soak linux": _KERNEL,
    "qstress soak ovmf": _EACH,
    "qstress kernel build --source linux-source-6.1 --out DIR": _LINUX,
    "qstress kernel build --source linux-source-6.1 --patch FIX.patch --reverse --sanitizer kcsan --out DIR": _LINUX,
    "qstress host run --kernel DIR/kcsan -- qstress check": _LINUX,
    "qstress host run -- CMD": _KERNEL,
    "qstress host run -- python -m tools.regressions --only init-latched …": _KERNEL,
    "qstress soak matrix.yaml --host emulated:6.12": _KERNEL,
    "qstress check --host emulated:6.12 --build /opt/sid/usr/bin/qemu-system-x86_64": _KERNEL,
    "qstress explain --libvirt DOMAIN": "needs libvirt: tests/live/test_libvirt.py",
    "qstress watch --textfile": "is no whole line: it goes with --follow, to a signal: tests/cli/test_watch.py",
    "qstress build --dry-run": "is no whole line: it goes with --source and --patch",
    "qstress reduce FOLDER --minutes 10": "needs a QEMU with a fault to be found: tests/live/test_fuzz_planted.py",
    "qstress check --pretend-smm": "as with --build",
    "qstress repro RUN/evidence/N": "as with --build",
    "qstress repro FOLDER": "as with --build",
    "qstress fuzz --config fuzz.yaml --set builds.stock.binary=/opt/qemu/bin/qemu-system-x86_64": "as without --set",
    "qstress fuzz --config fuzz.yaml --resume runs/…": "as it begins: tests/live/test_fuzz_session.py goes on",
    "qstress nightly --set stop.duration=20m": "as without --set",
}
#: What the names of the documents stand for.
NAMES = {
    r"^(?:uvx )?qstress ": "",
    r"\s+#.*|\s*>.*": "",
    r"\[--build OTHER\]": f"--build {QEMU}",
    r"--monitoring FILE": "--monitoring habits.txt",
    r"\[?FILE\]?": "injected",
    r"soak NAME": "soak injected",
    r"\bBIN\b|~/qemu-builds/bin/\w+": QEMU,
    r"RUN/evidence/N|FOLDER": "{finding}",
    r"RUN_BEFORE|RUN_NOW|RUN|OTHER|runs/…": "{run}",
    r"/srv/qstress": "srv",
    r"explain injected": "explain dump.txt",
}


def documented() -> set[str]:
    """Return the command lines of the documents with more in them than a command's name, without comments."""
    lines = {re.sub(r"\s+#.*", "", line).strip() for path in DOCUMENTS if path not in HISTORY
             for line in shown(path.read_text())}  # fmt: skip
    return {line for line in lines if line not in names()}


def names(command: click.Command = cli, name: str = "qstress") -> Iterator[str]:
    """Yield each command's name."""
    yield name
    for below, each in getattr(command, "commands", {}).items():
        yield from names(each, f"{name} {below}")


def words(line: str) -> list[str]:
    """Return what is typed for a documented line.

    >>> words("qstress explain [FILE]"), words("qstress runs --format openmetrics > history.om")
    (['explain', 'dump.txt'], ['runs', '--format', 'openmetrics'])
    """
    for name, meaning in NAMES.items():
        line = re.sub(name, meaning, line)
    return shlex.split(line)


def test_every_line_that_is_shown_is_carried_out_or_says_why_not() -> None:
    typed = [tuple(words(each.documented)) for each in CARRIED_OUT]
    shown_lines = documented()
    assert {line for line in shown_lines - NOT_CARRIED_OUT.keys() if tuple(words(line)) not in typed} == set()
    assert NOT_CARRIED_OUT.keys() - shown_lines == set(), "no document shows them any more"
    assert {each.documented for each in CARRIED_OUT} - shown_lines - set(names()) == set(), "nor these"


def prepare(folder: Path) -> None:
    """Lay down what a user has who follows the documents: a dump, a tree and a patch, a night's configuration."""
    (folder / "dump.txt").write_text((ROOT / "docs/example-finding/dumps.txt").read_text())
    (folder / "habits.txt").write_text("info status\nvirsh domstats\n")
    tree(folder / "qemu-7.2+dfsg")
    (folder / "docs").mkdir()
    (folder / "docs/smi-writeback.patch").write_bytes(mail("[PATCH] kvm: five", diff(5, "five")))
    (folder / "my.yaml").write_text((ROOT / "configs/injected.yaml").read_text())


def test_each_says_what_it_is_for(installed: Installed) -> None:
    with installed.session() as asked:
        for name in names():
            answer = asked.carry_out([*name.split()[1:], "--help"])
            assert (answer.code, answer.stderr) == (0, "")
            assert answer.stdout.startswith(f"Usage: {name} ")


@pytest.mark.qemu
def test_each_does_what_is_shown(installed: Installed) -> None:
    prepare(installed.cwd)
    dump = (installed.cwd / "dump.txt").read_text()
    left: dict[str, str] = {}
    with installed.session() as asked:
        for each in CARRIED_OUT:
            if each.documented == NEEDS_KVM and not probe().usable:
                continue
            answer = asked.carry_out([word.format(**left) for word in (*words(each.documented), *each.more)], dump)
            assert answer.code in each.codes, (each, answer)
            assert each.prints in answer.stdout, (each, answer)
            assert "Traceback" not in answer.stderr, (each, answer)
            if not left:
                (run,) = (installed.cwd / "runs").iterdir()
                left = {"run": str(run), "finding": str(min((run / "evidence").iterdir()))}
