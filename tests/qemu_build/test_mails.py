"""Files that people send, save and paste come to the tree that ``git am`` makes of the clean mail, or to a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.qemu_build.mails import git, mails_in
from qstress.qemu_build.patches import Patch, apply_patches, read_patches
from tests.qemu_build.mail_cases import AUTHOR, Case, Clean, am, cases, repository

Files = dict[str, tuple[bytes, bool]]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mails") / "repo"


@pytest.fixture(scope="module")
def clean(repo: Path) -> Clean:
    return repository(repo)


def files(folder: Path) -> Files:
    """Every file under *folder* with whether it may be executed."""
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100)) for path in paths}


def problem(case: Case, repo: Path, folder: Path, wanted: Files) -> str:
    """What is wrong with what *case* comes to; empty if nothing is."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(repo, tree, ignore=shutil.ignore_patterns(".git"))
    (folder / "x.mbox").write_bytes(case.data)
    patches: tuple[Patch, ...] = ()
    refused = ""
    try:
        patches = read_patches(folder / "x.mbox")
        apply_patches(patches, tree)
    except ConfigError as error:
        refused = str(error)
    if bool(refused) != bool(case.refused) or case.refused not in refused:
        return f"refused: {refused!r}"
    if files(tree) != wanted:
        return "another tree"
    subjects, authors = tuple(patch.subject for patch in patches), {patch.author for patch in patches}
    if case.subjects is not None and subjects != case.subjects:
        return f"called {subjects}"
    return f"by {authors}" if case.author is not None and authors - {case.author} else ""


def test_each_comes_to_the_tree_of_git_am_or_to_a_refusal_with_the_tree_untouched(
    repo: Path, clean: Clean, tmp_path: Path
) -> None:
    trees: dict[tuple[bytes, ...], Files] = {(): files(repo)}
    problems: dict[str, str] = {}
    table = cases(clean)
    for case in table:
        if case.am not in trees:
            checkout = tmp_path / f"am{len(trees)}"
            shutil.copytree(repo, checkout)
            am(checkout, case.am)
            trees[case.am] = files(checkout)
        if said := problem(case, repo, tmp_path, trees[case.am]):
            problems[case.name] = said
    assert problems == {}
    assert len({case.name for case in table}) == len(table) >= 60
    assert len({repr(tree) for tree in trees.values()}) == len(trees)


def test_a_text_without_headers_is_one_mail(clean: Clean) -> None:
    (mail,) = mails_in(f"commit 1\nAuthor: {AUTHOR}\n\n    x\n\n".encode() + clean.diff)
    assert (mail.author, [diff.text for diff in mail.diffs]) == (AUTHOR, [clean.diff])


def test_what_git_cannot_read_is_refused_in_its_words() -> None:
    broken = b"Subject: x\nContent-Type: multipart/mixed; boundary=%s\n\n--B\n\nx\n"
    (mail,) = mails_in(broken % b"B")
    assert (mail.subject, mail.diffs) == ("x", ())


def test_git_runs_with_nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    assert git(tmp_path, "init", "-q").returncode == 0
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert git(tmp_path / "inner", "rev-parse", "--git-dir").returncode != 0


def test_a_host_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="install the Debian package git") as caught:
        mails_in(b"Subject: x\n\n")
    assert caught.value.reason == "build-needs"
