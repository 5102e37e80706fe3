"""The Debian package, built by ``.ci/installed``, and the RPM's spec: linted where their tools are; elsewhere the tests
skip and say so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qstress import __version__
from tests.packaging.conftest import GIVEN

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "packaging/qstress.spec"
#: What systemd-rpm-macros brings, which Debian does not have.
MACROS = ["--define", "_unitdir /usr/lib/systemd/system", "--define", "_sysusersdir /usr/lib/sysusers.d"]


def missing(*tools: str) -> pytest.MarkDecorator:
    """Skip where one of *tools* is not installed."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})


def test_they_are_of_this_version() -> None:
    assert f"Version:        {__version__}\n" in SPEC.read_text()
    assert (ROOT / "packaging/debian/changelog").read_text().startswith(f"qstress ({__version__}) ")


@missing("dpkg-buildpackage", "dh", "lintian")
@pytest.mark.skipif(GIVEN is None, reason="minutes, and fetches libraries: .ci/installed runs it")
@pytest.mark.timeout(1200)
def test_the_debian_package_is_built_clean_and_works(tmp_path: Path) -> None:
    built = run(ROOT / "packaging/deb", tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    (package,) = tmp_path.glob("qstress_*.deb")
    lint = run("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", package)
    assert (lint.returncode, lint.stdout) == (0, "")
    root = tmp_path / "root"
    assert run("dpkg-deb", "--extract", package, root).returncode == 0
    (site,) = root.glob("usr/lib/qstress/lib/python3.*/site-packages")
    python = ("env", "-C", tmp_path, f"PYTHONPATH={site}", "/usr/bin/python3", "-s")  # its own link is relative
    listed = run(*python, "-m", "qstress", "config", "check", "nightly")
    assert (listed.returncode, listed.stderr) == (0, "")
    library = run(*python, "-c", "from qstress.interposer.build import library; print(library())")
    assert library.stdout.startswith(f"{site}/qstress/interposer/prebuilt/"), "it was stripped"
    names = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    wanted = {"usr/bin/qstress", "etc/qstress/nightly.yaml", "usr/share/man/man1/qstress-soak.1.gz",
              "usr/share/bash-completion/completions/qstress", "usr/lib/sysusers.d/qstress.conf"}  # fmt: skip
    assert wanted <= names
    assert any(re.fullmatch(r"(usr/)?lib/systemd/system/qstress@\.service", name) for name in names)
    named = run("grep", "-rlF", "/qstress-deb.", root)
    assert named.stdout == "", "the folder that it was built in stands in it"


@missing("rpmbuild", "rpmlint")
def test_the_rpms_spec_is_one(tmp_path: Path) -> None:
    (tmp_path / f"qstress-{__version__}.tar.gz").write_bytes(b"")
    where = ["--define", f"_sourcedir {tmp_path}", "--define", f"_topdir {tmp_path}"]
    parsed = run("rpmbuild", "--nobuild", "--noprep", "--nodeps", *where, *MACROS, SPEC)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    linted = run("rpmlint", SPEC)
    assert (linted.returncode, re.findall(r"^\S+: E: .*", linted.stdout, re.MULTILINE)) == (0, [])
