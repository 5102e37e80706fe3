from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.emulated.fetch import find
from qstress.errors import ConfigError, RigError
from qstress.kernel_build.build import Order, make_kernels, planned
from qstress.kernel_build.options import Sanitizer, parsed
from tests.host.trees import diff, mail
from tests.kernel_build.linux import BASE, builders, linux

SVM = "arch/x86/kvm/svm/svm.c"


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    """A kernel from a tree of a few lines, with stand-ins for make and all that it calls."""
    builders(tmp_path / "tools", monkeypatch)
    (tmp_path / "base.config").write_text("\n".join(BASE))
    source = linux(tmp_path / "source")
    return Order(str(source), tmp_path / "out", Sanitizer.KCSAN, config=str(tmp_path / "base.config"))


@pytest.fixture
def fix(tmp_path: Path) -> Path:
    path = tmp_path / "fix.patch"
    path.write_bytes(mail("[PATCH] KVM: read it once", diff(5, "five", SVM)))
    return path


def refused(kind: type[Exception], order: Order) -> str:
    with pytest.raises(kind) as caught:
        make_kernels(order, lambda line: None)
    return str(caught.value)


def test_a_kernel_that_an_emulated_host_takes_with_its_provenance(order: Order) -> None:
    said: list[str] = []
    (image,) = make_kernels(order, said.append)
    assert image == order.out / "kcsan/vmlinuz"
    kernel = find(str(image.parent), said.append)
    assert (kernel.release, kernel.modules) == ("6.1.99-kcsan", ())
    found = json.loads((image.parent / "vmlinuz.json").read_bytes())
    assert found["sha256"] == kernel.sha256
    assert found["source"]["version"] == "6.1.99"
    assert (found["sanitizer"], found["release"], found["patches"]) == ("kcsan", "6.1.99-kcsan", [])
    assert found["compiler"] == "stand-in 1.0"
    assert parsed((image.parent / "config").read_text().splitlines())["KCSAN"] == "y"
    assert "compiled 100 files" in said


def test_a_pair_from_one_tree_differs_by_the_patch_and_by_name(order: Order, fix: Path) -> None:
    images = make_kernels(replace(order, patches=(fix,), name="race"), lambda line: None)
    assert [image.parent.name for image in images] == ["race-unpatched", "race-patched"]
    told = [json.loads((image.parent / "vmlinuz.json").read_bytes()) for image in images]
    assert [each["release"] for each in told] == ["6.1.99-race-unpatched", "6.1.99-race-patched"]
    assert [[patch["subject"] for patch in each["patches"]] for each in told] == [[], ["KVM: read it once"]]
    tails = [image.read_bytes().partition(b"(qstress@qstress)")[2] for image in images]
    assert tails[0] != tails[1]
    again = (
        make_kernels(replace(order, name="again"), lambda line: None)[0].read_bytes().partition(b"(qstress@qstress)")[2]
    )
    assert again == tails[0], "the tree as it is, after a pair"


def test_the_reverse_of_a_patch_makes_the_kernel_without(order: Order, fix: Path) -> None:
    source = Path(order.source, SVM)
    source.write_text(source.read_text().replace("line 5\n", "five\n"))
    images = make_kernels(replace(order, patches=(fix,), reverse=True), lambda line: None)
    assert [image.parent.name for image in images] == ["kcsan-patched", "kcsan-unpatched"], "the tree as it is first"
    told = [json.loads((image.parent / "vmlinuz.json").read_bytes()) for image in images]
    assert [(each["reverse"], len(each["patches"])) for each in told] == [(True, 0), (True, 1)]
    assert "five\n" in source.read_text(), "the tree stays as it is"
    assert (order.work / "tree" / SVM).read_text().count("five\n") == 0


def test_options_that_the_kernel_cannot_have_are_refused_by_name(order: Order) -> None:
    make_kernels(order, lambda line: None)
    (order.work / "drops").write_text("CONFIG_9P_FS=")
    assert "cannot have what an emulated host needs: CONFIG_9P_FS" in refused(RigError, order)
    assert (order.out / "kcsan/vmlinuz").exists(), "the kernel before stays"


def test_what_does_not_compile_is_told_in_the_compilers_words(order: Order) -> None:
    source = Path(order.source, SVM)
    source.write_text("oops\n")
    assert "Linux cannot be built: svm.c:3:1: error: unknown type name 'oops' (all it said:" in refused(RigError, order)


def test_a_tree_that_was_built_in_place_will_do(order: Order) -> None:
    Path(order.source, ".config").write_text("CONFIG_X=y\n")
    Path(order.source, "include/config").mkdir(parents=True)
    make_kernels(order, lambda line: None)
    assert Path(order.source, ".config").exists()


def test_all_that_is_missing_is_one_line(order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    words = refused(RigError, order)
    assert (
        "install the Debian packages make flex bison bc gzip binutils perl-base git gcc libelf-dev libc6-dev" in words
    )
    assert not order.out.exists()


def test_what_it_cannot_mean(order: Order, fix: Path, tmp_path: Path) -> None:
    assert "--reverse needs a patch" in refused(ConfigError, replace(order, reverse=True))
    assert "--name 'a b'" in refused(ConfigError, replace(order, name="a b"))
    assert "--name 'work'" in refused(ConfigError, replace(order, name="work"))
    assert "lies in the source tree" in refused(ConfigError, replace(order, out=Path(order.source, "out")))
    assert "with a space or a colon" in refused(ConfigError, replace(order, out=tmp_path / "a b"))
    assert "cannot be taken out: it is not there" in refused(ConfigError, replace(order, patches=(fix,), reverse=True))


def test_a_dry_run_says_what_would_be_built_and_writes_nothing(order: Order, fix: Path) -> None:
    lines, why = planned(replace(order, patches=(fix,)))
    assert why == ""
    assert lines[0] == f"Linux 6.1.99 from {order.source}"
    assert lines[1].startswith("with fix.patch ('KVM: read it once')")
    assert lines[2:] == [f"would be built: {order.out}/kcsan-unpatched", f"would be built: {order.out}/kcsan-patched"]
    assert not order.out.exists()
    assert "cannot be taken out" in planned(replace(order, patches=(fix,), reverse=True))[1]
    fetched, why = planned(replace(order, source="linux-source-6.1", patches=(fix,)))
    assert (why, fetched[0]) == ("", "linux-source-6.1 would be downloaded; whether a patch applies is seen then")
