from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from qstress.cli import cli
from qstress.errors import ConfigError
from tests.host.trees import diff, mail
from tests.kernel_build.linux import BASE, builders, linux

SVM = "arch/x86/kvm/svm/svm.c"


def test_the_images_are_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builders(tmp_path / "tools", monkeypatch)
    (tmp_path / "base").write_text("\n".join(BASE))
    words = ["kernel", "build", f"--source={linux(tmp_path / 'tree')}", f"--out={tmp_path / 'out'}"]
    done = CliRunner().invoke(cli, [*words, f"--config={tmp_path / 'base'}", "-q"], standalone_mode=False)
    assert done.output == f"{tmp_path}/out/small/vmlinuz\n"


def test_a_dry_run_tells_what_would_be_and_refuses_what_cannot(tmp_path: Path) -> None:
    patch = tmp_path / "fix.patch"
    patch.write_bytes(mail("[PATCH] KVM: five", diff(5, "five", SVM)))
    words = ["kernel", "build", f"--source={linux(tmp_path / 'tree')}", "--out=out", f"--patch={patch}", "--dry-run"]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.output.splitlines()[2:] == ["would be built: out/small-unpatched", "would be built: out/small-patched"]
    refused = CliRunner().invoke(cli, [*words, "--reverse"], standalone_mode=False)
    assert isinstance(refused.exception, ConfigError)
    assert "would be built: out/small-unpatched" in refused.output
