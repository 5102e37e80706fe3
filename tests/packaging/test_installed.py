"""The installed wheel as a newcomer meets it: no checkout, and an empty working directory."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from qstress import __version__
from tests.packaging.conftest import GIVEN, ROOT, Installed

pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(150)]

NAMES = [path.stem for path in sorted((ROOT / "configs").glob("*.yaml"))]
#: What is soaked: all that fuzz nothing and need no kernel from elsewhere; one in the gate, which has no time for more.
SOAKED = [name for name in NAMES if name not in ("emulated", "fuzz", "fuzz-quick")] if GIVEN else ["smp64"]
#: Builds that only a user can name.
OWN = {
    name: [f"--set=builds.{build}.binary=qemu-system-x86_64" for build in builds]
    for name, builds in (("patched-or-not", ("unpatched", "patched")), ("four-arms", ("stock", "fix1", "fix2", "both")))
}
#: A user's five lines, with a mistake in the last one.
SCRIPT = """\
from qstress import api

run = api.run_soak(api.load("smp64", {"stop.duration": "60s"}))
reveal_type(run.summary["cells"][0]["hang_rate"]["upper"])
print(api.explain("").verdict.certain)
"""


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    where = installed.run(str(installed.python), "-c", "import qstress; print(qstress.__file__)").stdout
    assert Path(where).is_relative_to(installed.prefix)
    assert installed.qstress("--version").stdout.splitlines()[0] == f"qstress, version {__version__}"


def test_shipped_configurations_are_there_by_name(installed: Installed) -> None:
    listed = installed.qstress("config", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == NAMES
    assert json.loads(installed.qstress("config", "schema").stdout)["properties"]["builds"]


def test_each_is_fine(installed: Installed) -> None:
    with installed.session() as asked:
        for name in NAMES:
            done = asked.carry_out(["config", "check", name])
            assert (done.code, done.stderr) == (0, "")


def test_what_is_asked_in_an_empty_folder(installed: Installed) -> None:
    with installed.session() as asked:
        assert "intact" in asked.carry_out(["firmware", "list"]).stdout
        assert asked.carry_out(["runs"]).stdout == "no recorded runs\n"
        assert asked.carry_out(["soak", "smp46"]).code == 2


def test_mypy_finds_the_types_of_a_users_script(installed: Installed) -> None:
    (installed.cwd / "script.py").write_text(SCRIPT)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "--python-executable"]
    done = installed.run(*mypy, str(installed.python), "script.py")
    assert done.stdout.splitlines()[:-1] == [
        'script.py:4: note: Revealed type is "float | None"',
        'script.py:5: error: "str" has no attribute "certain"  [attr-defined]',
    ]


@pytest.mark.qemu
@pytest.mark.parametrize("name", SOAKED)
def test_each_soak_begins_and_ends(name: str, installed: Installed) -> None:
    done = installed.qstress("soak", "--config", f"{name}.yaml", "--set=stop.duration=1s", *OWN.get(name, []))
    assert done.returncode in (0, 1, 5), done.stderr
    (run,) = (installed.cwd / "runs").iterdir()
    assert json.loads((run / "summary.json").read_text())["name"] == name
