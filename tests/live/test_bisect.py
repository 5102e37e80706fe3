"""``qstress bisect`` on a made repository of QEMU: what is "built" is the host's QEMU with a fault planted in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qstress.qemu_build.revisions import git_says
from tests.cli.command import qstress
from tests.fuzz.conftest import planted
from tests.fuzz.guests import QEMU
from tests.host.hosts import program
from tests.host.trees import SOURCE, tree
from tests.qemu_build.test_revisions import commit

__all__ = ["planted"]
pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]
REVISIONS, FIRST_BAD, BROKEN = 12, 7, 4
#: Stands for ninja. The tree says of what share of its starts the QEMU has the fault.
NINJA = """\
tree=$(cat build.ninja)
if grep -q oops "$tree/target/kvm.c"; then echo "../tree/target/kvm.c:1:1: error: unknown type name 'oops'"; exit 1; fi
share=$(sed -n 's/^share //p' "$tree/target/kvm.c")
cat >qemu-system-x86_64 <<END
#!/bin/sh
# $(cksum <"$tree/target/kvm.c")
drawn=\\$((\\$(od -An -N2 -tu2 /dev/urandom) % 100))
test \\$drawn -ge $share || export LD_PRELOAD={planted} QSTRESS_PLANT=crash:query-name
exec {qemu} "\\$@"
END
chmod +x qemu-system-x86_64"""
CONFIG = """\
version: 1
name: b
builds: {q: {binary: qemu-system-x86_64}}
guest: {accel: tcg, smp: 1, firmware: smpscan}
hammer: [{command: query-name, via: qmp, rate: max}]
stop: {trials: 1}
lanes: 1
"""


@pytest.mark.parametrize(
    ("share", "how"), [(100, ("--by", "trial", "--class", "crash")), (50, ("--by", "rate", "--confidence", "0.999"))]
)
def test_the_revision_that_brought_the_fault_is_found(
    tmp_path: Path, planted: str, share: int, how: tuple[str, ...]
) -> None:
    program(tmp_path / "tools", "ninja", NINJA.replace("{planted}", planted).replace("{qemu}", QEMU))
    (tmp_path / "b.yaml").write_text(CONFIG)
    source = tree(tmp_path / "source")
    git_says(source, "init", "--quiet")
    for number in range(REVISIONS):
        fault = share if number >= FIRST_BAD else 0
        commit(source, f"{SOURCE}{number}\nshare {fault}\n{'oops' * (number == BROKEN)}\n", f"kvm: {number}")
    done = qstress(
        "bisect", "--source", "source", "--good", f"HEAD~{REVISIONS - 1}", "--bad", "HEAD", "-c", "b.yaml", *how,
        "--format", "json", cwd=tmp_path, PATH=f"{tmp_path / 'tools'}:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["first_bad"]["subject"] == f"kvm: {FIRST_BAD}", done.stderr
    assert made["builds"] <= REVISIONS - 1
