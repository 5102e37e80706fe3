"""The examples of docs/runners.md, run as they lie in packaging/runners: real guests, the environment alone makes them
short. What a runner is not to be had for here is checked against its schema."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.test_workflow import check_jsonschema
from tests.report.tap_readers import by_meson, linux_source

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

RUNNERS = Path(__file__).parents[2] / "packaging/runners"
BIN = Path(sys.executable).parent

#: Two trials decide nothing; sixteen, of which the first build loses an AP in each, do.
OPEN = {"QSTRESS_GUEST__ACCEL": "tcg", "QSTRESS_GUEST__SMP": "2", "QSTRESS_STOP__TRIALS": "2"}
DECIDED = {
    **OPEN, "QSTRESS_STOP__TRIALS": "16", "QSTRESS_COMPARE__ALPHA": "0.1",
    "QSTRESS_BUILDS__UNPATCHED__INJECT": "{lost_ap: 1.0, accel: tcg}",
}  # fmt: skip


def run(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command as a runner's host would have it: qstress on PATH."""
    path = f"{BIN}:{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path, "HOME": str(cwd), **env}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("env", "result"), [(DECIDED, "OK"), (OPEN, "ERROR")], ids=["passed", "inconclusive"])
def test_meson(tmp_path: Path, env: Mapping[str, str], result: str) -> None:
    shutil.copy(RUNNERS / "meson.build", tmp_path)
    made = run("meson", "setup", "--backend=none", "build", cwd=tmp_path, env={})
    assert made.returncode == 0, made.stdout
    done = run("meson", "test", "-C", "build", "--no-rebuild", cwd=tmp_path, env=env)
    (said,) = [json.loads(line) for line in (tmp_path / "build/meson-logs/testlog.json").read_text().splitlines()]
    assert (said["result"], done.returncode == 0) == (result, result == "OK"), done.stdout
    assert by_meson(said["stdout"]) == ["ok" if result == "OK" else "skip", "ok", "ok"]
    recorded = json.loads(next(tmp_path.rglob("run.json")).read_text())
    assert recorded["config"]["builds"][0]["binary"] == shutil.which("qemu-system-x86_64")


@pytest.mark.parametrize(
    ("env", "status"), [(OPEN, "PASS"), ({"QSTRESS_SEED": "none"}, "ERROR")], ids=["ran", "refused"]
)
def test_avocado(tmp_path: Path, env: Mapping[str, str], status: str) -> None:
    run(
        "avocado",
        "run",
        "--disable-sysinfo",
        "--job-results-dir",
        "jobs",
        RUNNERS / "avocado.json",
        cwd=tmp_path,
        env=env,
    )
    (results,) = (tmp_path / "jobs").glob("job-*/results.json")
    assert [test["status"] for test in json.loads(results.read_text())["tests"]] == [status]


@pytest.mark.parametrize(
    ("env", "code", "cases"),
    [
        (OPEN, 4, ["skip", "ok", "ok"]),
        ({"QEMU_TEST_QEMU_BINARY": "/nowhere/qemu"}, 4, []),
        ({"QSTRESS_SEED": "none"}, 1, []),
    ],
    ids=["inconclusive", "no QEMU", "refused"],
)
def test_kselftest(tmp_path: Path, env: Mapping[str, str], code: int, cases: list[str]) -> None:
    done = run(RUNNERS / "kselftest.sh", cwd=tmp_path, env=env)
    assert done.returncode == code, done.stderr
    assert by_meson(done.stdout) == cases


def test_the_kernels_own_runner_takes_the_wrapper(tmp_path: Path) -> None:
    (tmp_path / "kselftest").symlink_to(linux_source() / "tools/testing/selftests/kselftest")
    folder = tmp_path / "qstress"
    folder.mkdir()
    shutil.copy(RUNNERS / "kselftest.sh", folder)
    (folder / "settings").write_text("timeout=600\n")
    script = '. "$BASE_DIR/kselftest/runner.sh"; run_many kselftest.sh'
    done = run("sh", "-c", script, cwd=folder, env={**OPEN, "BASE_DIR": str(tmp_path)})
    assert "\nok 1 selftests: qstress: kselftest.sh # SKIP" in done.stdout, done.stdout + done.stderr
    assert "\n# ok 1 gate better_than # SKIP better than unpatched" in done.stdout


def test_tmt(tmp_path: Path) -> None:
    if not (shutil.which("tmt") and shutil.which("rsync")):
        pytest.skip("no tmt with rsync: pip install tmt")
    tree = Path(shutil.copytree(RUNNERS / "tmt", tmp_path / "tree"))
    (tree / "env.yaml").write_text(yaml.safe_dump({**DECIDED, "PATH": f"{BIN}:{os.environ['PATH']}"}))
    arguments = ("--feeling-safe", "run", "-i", tmp_path / "out", "-e", "@env.yaml")
    done = run("tmt", *arguments, "discover", "provision", "-h", "local", "execute", "report", cwd=tree, env={})
    assert done.returncode == 0, done.stdout + done.stderr
    results: list[dict[str, Any]] = yaml.safe_load((tmp_path / "out/plan/execute/results.yaml").read_text())
    assert [(each["name"], each["result"]) for each in results][:2] == [
        ("/soak", "pass"),
        ("/soak/gate better_than", "pass"),
    ]


def test_gitlab_takes_the_job_and_finds_its_report(tmp_path: Path) -> None:
    check_jsonschema("--builtin-schema", "vendor.gitlab-ci", RUNNERS / "gitlab-ci.yml")
    job = yaml.safe_load((RUNNERS / "gitlab-ci.yml").read_text())["soak"]
    done = run("sh", "-c", "\n".join(job["script"]), cwd=tmp_path, env=OPEN)
    assert done.returncode in job["allow_failure"]["exit_codes"], done.stderr
    assert len(list(tmp_path.glob(job["artifacts"]["reports"]["junit"]))) == 1


def test_github_takes_the_job_and_gets_its_summary(tmp_path: Path) -> None:
    check_jsonschema("--builtin-schema", "vendor.github-workflows", RUNNERS / "github.yml")
    steps = yaml.safe_load((RUNNERS / "github.yml").read_text())["jobs"]["soak"]["steps"]
    (script,) = [step["run"] for step in steps if step["name"] == "Soak"]
    done = run("sh", "-c", script, cwd=tmp_path, env={**OPEN, "GITHUB_STEP_SUMMARY": str(tmp_path / "step.md")})
    assert done.returncode == 5, done.stderr
    assert "::error title=gate better_than::" in done.stdout
    assert (tmp_path / "step.md").read_text().startswith("### qstress quickstart")
