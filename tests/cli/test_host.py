"""The commands that ask this host or read a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import qstress
from tests.host.trees import diff, mail, tree


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


@pytest.mark.qemu
def test_doctor_says_whether_the_main_job_can_run() -> None:
    report = json.loads(qstress("doctor", "--format", "json").stdout)
    assert report["can_run"] is True
    none = qstress("doctor", PATH="/nonexistent")
    assert none.returncode == 4
