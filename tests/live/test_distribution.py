"""A host whose only QEMU is ``/usr/libexec/qemu-kvm``, as RHEL's are: made of this one by bubblewrap."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from qstress.errors import RigError, rig_error_in
from qstress.guest.live import live_guest
from qstress.model import Accel
from tests.live.rig import QEMU, planned, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]


def test_its_qemu_is_found_and_used() -> None:
    bwrap = shutil.which("bwrap")
    assert bwrap, "bwrap is missing: .ci/host test installs it"
    real = os.path.realpath(QEMU)
    there = ("--tmpfs", "/usr/libexec", "--ro-bind", real, "/usr/libexec/qemu-kvm", "--ro-bind", "/dev/null", real)
    arguments = (
        bwrap,
        "--dev-bind",
        "/",
        "/",
        *there,
        sys.executable,
        "-m",
        "qstress",
        "check",
        "--accel",
        "tcg",
        "--bringups",
        "0",
    )
    done = subprocess.run((*arguments, "--format", "json"), capture_output=True, text=True, check=False)
    if "bwrap:" in done.stderr:  # no user namespaces, or no /usr/libexec to stand in for
        pytest.skip(done.stderr.strip())
    assert json.loads(done.stdout)["binary"] == "/usr/libexec/qemu-kvm", done.stderr


async def test_a_machine_that_qemu_has_not_is_told_with_what_to_write() -> None:
    shape = replace(planned(Accel.TCG).cell.stratum.shape, machine="pc-i440fx-rhel7.6.0")
    try:
        async with live_guest(stock(), shape, env={}, on_change=lambda: None):
            raise AssertionError
    except* RigError as group:
        error = rig_error_in(group)
    assert "unsupported machine type" in str(error)
    assert "guest.machine names one of them" in str(error)
