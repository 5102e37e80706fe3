"""A repository of QEMU made of a few lines, whose every revision is told and built once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.qemu_build import revisions as module
from qstress.qemu_build.revisions import RevisionBuilds, git_says, revisions_between
from tests.host.hosts import program
from tests.host.trees import NINJA, SOURCE, tree


def commit(folder: Path, text: str, subject: str) -> str:
    """Commit *text* as the one source file; return the hash."""
    (folder / "target/kvm.c").write_text(text)
    who = ("-c", "user.name=Ann", "-c", "user.email=a@example.org")
    for words in (("add", "-A"), (*who, "commit", "--quiet", "-m", subject)):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return git_says(folder, "rev-parse", "HEAD")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of four revisions, of which the third does not build; a ninja for it is on PATH."""
    program(tmp_path / "tools", "ninja", NINJA)
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    folder = tree(tmp_path / "source")
    git_says(folder, "init", "--quiet", "--initial-branch=main")
    for number, word in enumerate(("", "one", "oops", "two")):
        commit(folder, f"{SOURCE}{word}\n", f"kvm: {number}")
    return folder


def test_revisions_come_newest_first_with_both_ends(source: Path) -> None:
    told = revisions_between(source, "HEAD~3", "main")
    assert [each.subject for each in told] == ["kvm: 3", "kvm: 2", "kvm: 1", "kvm: 0"]
    assert str(told[0]) == f"{git_says(source, 'rev-parse', 'HEAD')[:12]} (kvm: 3)"


@pytest.mark.parametrize(("good", "bad", "words"), [("HEAD", "HEAD~1", "does not come after"), ("nope", "HEAD", "git")])
def test_what_is_no_range_is_refused(source: Path, good: str, bad: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        revisions_between(source, good, bad)


def test_each_is_built_once_and_the_source_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    before, said = git_says(source, "for-each-ref"), list[str]()
    newest, broken, older, _ = (each.sha for each in revisions_between(source, "HEAD~3", "HEAD"))
    builds = RevisionBuilds(source, tmp_path / "out", said.append)
    builds.prepare()
    first, second = builds.binary(newest), builds.binary(older)
    assert first is not None
    assert second is not None
    assert first.read_text() != second.read_text()
    assert builds.binary(broken) is None
    assert builds.built == 2
    assert any("unknown type name 'oops'" in line for line in said)
    said.clear()
    again = RevisionBuilds(source, tmp_path / "out", said.append)
    again.prepare()
    assert (again.binary(newest), again.binary(older), again.binary(broken)) == (first, second, None)
    assert (again.built, said) == (0, [])
    assert git_says(source, "for-each-ref") == before
    assert git_says(source, "status", "--porcelain") == ""


def test_a_later_revision_is_fetched(source: Path, tmp_path: Path) -> None:
    builds = RevisionBuilds(source, tmp_path / "out", lambda line: None)
    builds.prepare()
    later = commit(source, f"{SOURCE}later\n", "kvm: later")
    builds.prepare()
    assert builds.binary(later) is not None


def test_what_this_host_lacks_is_no_revision_that_does_not_build(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = RevisionBuilds(source, tmp_path / "out", lambda line: None)
    builds.prepare()
    sha = git_says(source, "rev-parse", "HEAD")
    monkeypatch.setenv("CC", "/nonexistent/cc")
    with pytest.raises(RigError, match="there is no C compiler"):
        builds.binary(sha)
    monkeypatch.delenv("CC")
    assert builds.binary(sha) is not None


def test_no_repository_and_no_git_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="not a git repository"):
        RevisionBuilds(tmp_path, tmp_path / "out", lambda line: None).prepare()
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(RigError, match="install the Debian package git"):
        module.git_says(tmp_path, "status")
