"""The command line as a script sees it: exit codes, stdout, stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.trees import diff, mail, tree
from tests.recorded.samples import recorded
from tests.stats.samples import LOST, OK

ROOT = Path(__file__).parent.parent


def qstress(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qstress", *arguments], capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


def test_help_and_version_import_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['qstress', '--help']\nfrom qstress.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print([m for m in ('pydantic', 'anyio', 'rich', 'sqlite3', 'yaml', 'asyncio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "soak" in done.stdout
    assert qstress("--version").stdout.startswith("qstress, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("soak",),
        ("soak", "-c", "/nonexistent.yaml"),
        ("config", "check"),
        ("config", "show", "a", "-c", "b"),
        ("repro", "/nonexistent"),
        ("report", "/nonexistent"),
        ("compare", "/nonexistent"),
        ("compare", "/nonexistent", "/nonexistent", "--force"),
        ("build", "--out", "/nonexistent/out"),
        ("build", "--source", "/nonexistent", "--out", "/nonexistent/out"),
    ],
)
def test_bad_usage_is_2_and_starts_nothing(arguments: tuple[str, ...]) -> None:
    done = qstress(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


def test_a_dry_run_says_what_would_be_applied_and_from_whom(tmp_path: Path) -> None:
    source, path = tree(tmp_path / "source"), tmp_path / "x.patch"
    path.write_bytes(mail("[PATCH v2] kvm: five", diff(5, "five")))
    arguments = ("build", "--dry-run", "--source", str(source), "--patch", str(path))
    done = qstress(*arguments)
    assert done.stdout.splitlines() == [
        "x.patch ('kvm: five') by 'Ann Uthor <a@example.org>': 'target/kvm.c'",
        "would be applied; nothing is built",
    ]
    said = {"subject": "kvm: five", "author": "Ann Uthor <a@example.org>", "files": ["target/kvm.c"]}
    done = qstress(*arguments, "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"applies": True, "patches": [said], "refused": None})
    (source / "target/kvm.c").write_text("another\n")
    done = qstress(*arguments, "--format", "json")
    refused = "x.patch ('kvm: five') does not apply: target/kvm.c: hunk at line 4"
    assert (done.returncode, json.loads(done.stdout)) == (2, {"applies": False, "patches": [said], "refused": refused})
    assert (done := qstress(*arguments)).returncode == 2
    assert refused in done.stderr
    assert "line 4" not in done.stdout
    assert set(tmp_path.iterdir()) == {source, path}
    done = qstress(*arguments, PATH=str(tmp_path))
    assert (done.returncode, "install the Debian package git" in done.stderr) == (4, True)


def test_explain_reads_a_kernels_log_too(tmp_path: Path) -> None:
    path = tmp_path / "dmesg"
    path.write_text("[    1.000000] BUG: Bad rss-counter state mm:00000000b7d3f1c1 type:MM_ANONPAGES val:512\n")
    assert qstress("explain", str(path)).stdout.startswith("host-kernel\n  bug          BUG: Bad rss-counter state\n")
    said = json.loads(qstress("explain", "--format", "json", str(path)).stdout)
    assert said["reports"] == [{"kind": "bug", "title": "BUG: Bad rss-counter state"}]
    path.write_text("".join(f"[    1.00000{n}] usb 1-1: new device\n" for n in range(5)))
    said = json.loads(qstress("explain", "--format", "json", str(path)).stdout)
    assert (said["verdict"], said["reports"]) == ("quiet", [])
    path.write_text("EAX=00000000 EBX=00000000\n")
    assert json.loads(qstress("explain", "--format", "json", str(path)).stdout)["verdict"] not in (
        "quiet",
        "host-kernel",
    )


def test_a_configuration_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nname: x\nbuilds: {a: {binary: qemu-system-x86_64}}\nguest:\n  smp: [2, sixteen]\n")
    done = qstress("config", "check", str(path))
    assert done.returncode == 2
    assert f"{path}:5:12: guest.smp[1]: 'sixteen' is not a whole number from 1 to 4096" in done.stderr


@pytest.mark.parametrize("name", ["quickstart", "smp64", "race", "race-hold", "replayed-init", "nightly", "kick-storm"])
def test_the_shipped_configurations_are_fine(name: str) -> None:
    for arguments in ([f"configs/{name}.yaml"], ["-c", f"configs/{name}.yaml"]):
        done = qstress("config", "check", *arguments)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.qemu
def test_show_prints_the_resolved_form_and_later_settings_win() -> None:
    done = qstress("config", "show", "configs/quickstart.yaml", "--set", "lanes=7", QSTRESS_LANES="3", QSTRESS_SEED="9")
    shown = json.loads(done.stdout)
    assert (shown["lanes"], shown["seed"]) == (7, 9)
    assert shown["builds"][0]["binary"].startswith("/")


def test_the_schema_is_the_committed_one() -> None:
    assert json.loads(qstress("config", "schema").stdout) == json.loads((ROOT / "docs/config.schema.json").read_text())


@pytest.mark.qemu
def test_doctor_says_whether_the_main_job_can_run() -> None:
    report = json.loads(qstress("doctor", "--format", "json").stdout)
    assert report["can_run"] is True
    none = qstress("doctor", PATH="/nonexistent")
    assert none.returncode == 4


def test_a_recorded_run_is_reported_compared_and_listed(tmp_path: Path) -> None:
    first = recorded(tmp_path, [(LOST, OK)], hour=1).path
    second = recorded(tmp_path, [(LOST, OK)] * 30, hour=2).path
    done = qstress("report", str(second), "--format", "json")
    assert (done.returncode, done.stderr.splitlines()) == (0, [f"{second}/report.html", f"{second}/junit.xml"])
    assert json.loads(done.stdout)["compare"]["decision"] == "candidate-better"
    assert (second / "report.html").read_text().startswith("<!doctype html>")
    assert [qstress("compare", str(run)).returncode for run in (first, second)] == [5, 0]
    across = qstress("compare", str(first), str(second))
    assert (across.returncode, "not interleaved" in across.stdout) == (0, True)
    listed = json.loads(qstress("runs", "--runs-dir", str(tmp_path), "--format", "json").stdout)
    assert [run["run"] for run in listed] == [second.name, first.name]
    assert qstress("runs", "--runs-dir", str(tmp_path)).stdout.splitlines()[1].startswith(second.name)


def test_github_gets_errors_and_a_step_summary(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)], exit_code=5).path
    summary = tmp_path / "step.md"
    done = qstress("report", str(run), "--format", "github", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0
    assert "\n::error title=gate better_than::" in done.stdout
    assert summary.read_text().startswith("### qstress nightly")
    assert "::error" in qstress("report", str(run), "--format", "github", GITHUB_STEP_SUMMARY="").stdout


def test_shipped_configurations_are_listed_by_name() -> None:
    done = qstress("config", "list")
    assert done.returncode == 0
    assert all(len(line) > 40 for line in done.stdout.splitlines())
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        path.stem for path in sorted((ROOT / "configs").glob("*.yaml"))
    ]


def test_a_shipped_configuration_is_copied_once(tmp_path: Path) -> None:
    assert qstress("config", "init", "smp64", cwd=tmp_path).stdout == "smp64.yaml\n"
    assert (tmp_path / "smp64.yaml").read_text() == (ROOT / "configs/smp64.yaml").read_text()
    (tmp_path / "smp64.yaml").write_text("mine\n")
    again = qstress("config", "init", "smp64.yaml", cwd=tmp_path)
    assert (again.returncode, "left as it is" in again.stderr) == (2, True)
    assert (tmp_path / "smp64.yaml").read_text() == "mine\n"
