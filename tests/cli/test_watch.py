"""``qstress watch`` as it is called."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.command import ROOT, qstress


def test_it_needs_no_guest_and_refuses_what_means_nothing(tmp_path: Path) -> None:
    done = qstress("watch", "--for", "0", "--format", "json")
    assert json.loads(done.stdout)["exit_code"] == done.returncode
    done = qstress("watch", "--textfile", "x.prom")
    assert (done.returncode, "--follow" in done.stderr) == (2, True)
    done = qstress("watch", "--qmp", str(tmp_path / "none"))
    assert (done.returncode, "no QMP socket" in done.stderr) == (2, True)


def test_it_follows_until_a_signal_and_keeps_the_metrics(tmp_path: Path) -> None:
    path = tmp_path / "watch.prom"
    arguments = ("watch", "--follow", "--every", "0.05", "--textfile", str(path))
    process = subprocess.Popen([sys.executable, "-m", "qstress", *arguments], cwd=ROOT, env={**os.environ})
    while not path.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert 'qstress_watched_guests{state="hung"}' in path.read_text()
    done = qstress("watch", "--follow", "--textfile", str(tmp_path / "nowhere/x.prom"))
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
