"""The first bad revision is found: by the model from made-up observations, and by git from steps."""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from qstress.errors import RigError
from qstress.model import FindingClass, Outcome, TrialResult, Verdict
from qstress.qemu_build.revisions import Revision, RevisionBuilds, git_says, revisions_between
from qstress.run import bisect
from qstress.run.bisect import BAD, GOOD, SKIP, Bisected, bisect_by_steps, bisect_racy, one_step, step_command
from qstress.trial.context import FinishedTrial
from tests.qemu_build.test_revisions import source
from tests.samples import trial

__all__ = ["source"]
COUNT = 40
REVISIONS = [Revision(f"{number:040x}", f"kvm: {COUNT - 1 - number}") for number in range(COUNT)]


class Builds:
    """Builds of no repository: a path named by its revision, or None for one that does not build."""

    def __init__(self, *broken: int) -> None:
        self.broken, self.built, self.asked = {REVISIONS[number].sha for number in broken}, 0, list[str]()

    def binary(self, sha: str) -> Path | None:
        self.built += sha not in self.asked and sha not in self.broken
        self.asked.append(sha)
        return None if sha in self.broken else Path(sha)


def racy(first_bad: int, seed: int, *, share: float = 0.3) -> Callable[[Path], bool]:
    """A test that shows the fault so often on the revisions from *first_bad* (its place, newest first) on."""
    rng = Random(seed)
    return lambda path: int(path.name, 16) <= first_bad and rng.random() < share


def found(first_bad: int, seed: int, builds: Builds | None = None, **options: Any) -> Bisected:
    return bisect_racy(
        REVISIONS, cast(RevisionBuilds, builds or Builds()), racy(first_bad, seed), say=lambda line: None,
        **{"confidence": 0.999, "most_tests": 2000, **options},
    )  # fmt: skip


def test_a_racy_fault_is_found_in_each_of_ten_seeds_and_not_much_slower_than_can_be() -> None:
    made = [(first, found(first, seed)) for seed, first in enumerate(Random(7).choices(range(COUNT - 1), k=10))]
    assert [each.first_bad for _, each in made] == [REVISIONS[first] for first, _ in made]
    mean = sum(each.tests for _, each in made) / len(made)
    # of a test that shows a fault with probability 0.3 or not at all (a Z-channel) no more can be learned
    bits = math.log2(1 + 0.3 * 0.7 ** (0.7 / 0.3))
    assert math.log2(COUNT - 1) / bits <= mean <= 4 * math.log2(COUNT - 1) / bits


def test_what_was_seen_on_both_sides_is_told() -> None:
    made = found(12, 3)
    assert made.good[0] == 0
    assert sum((made.bad[1], made.good[1])) == made.tests
    assert made.text.splitlines()[0] == f"first bad revision: {REVISIONS[12]}"
    assert f"{made.bad[0]}/{made.bad[1]} (" in made.text
    assert made.document["first_bad"] == {"sha": REVISIONS[12].sha, "subject": "kvm: 27"}


def test_one_that_does_not_build_is_asked_once_and_may_still_be_to_blame() -> None:
    builds = Builds(12, 13)
    made = found(12, 5, builds, most_tests=400)
    assert made.skipped <= 2
    assert builds.asked.count(REVISIONS[12].sha) <= 1
    assert REVISIONS.index(made.first_bad) in (11, 12, 13)
    with pytest.raises(RigError, match="none of the revisions builds"):
        found(1, 1, Builds(*range(COUNT)))


def test_it_gives_up_after_so_many_tests_and_says_how_sure_it_is() -> None:
    made = found(12, 1, most_tests=5)
    assert made.tests == 5
    assert made.probability < 0.999


def test_a_test_that_tells_nothing_is_done_again_and_then_an_error() -> None:
    with pytest.raises(RigError, match="3 times in a row nothing could be told"):
        bisect_racy(
            REVISIONS, cast(RevisionBuilds, Builds()), lambda path: None, confidence=0.9, most_tests=9, say=print
        )


def test_without_the_extra_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "git_bayesect":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(RigError, match=r"pip install 'qstress\[bisect\]'"):
        found(1, 1)


def steps(source: Path, out: Path) -> tuple[RevisionBuilds, list[str]]:
    """The clone of a repository, and a step that calls bad what has ``two`` in it and cannot tell of ``oops``."""
    builds = RevisionBuilds(source, out, lambda line: None)
    builds.prepare()
    code = "import sys; said = open('target/kvm.c').read(); sys.exit(125 if 'oops' in said else 'two' in said)"
    return builds, [sys.executable, "-c", code]


def test_git_finds_it_by_steps(source: Path, tmp_path: Path) -> None:
    (source / "target/kvm.c").write_text("two\nmore\n")
    git_says(source, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "-am", "kvm: 4")
    builds, step = steps(source, tmp_path / "out")
    revisions = revisions_between(source, "HEAD~4", "HEAD")
    with pytest.raises(RigError, match="git bisect gave up"):  # the third does not build, so it may be either
        bisect_by_steps(revisions, builds, step, say=lambda line: None)
    step[2] = step[2].replace("125 if 'oops' in said else ", "")
    made = bisect_by_steps(revisions, builds, step, say=lambda line: None)
    assert made.first_bad.subject == "kvm: 3"
    assert (made.tests, made.probability) == (2, 1.0)
    assert "first bad revision" in made.text
    step[2] = "import sys; sys.exit(128)"
    with pytest.raises(RigError, match="git bisect gave up"):
        bisect_by_steps(revisions, builds, step, say=lambda line: None)


@pytest.mark.parametrize(("told", "status"), [(True, BAD), (False, GOOD), (None, SKIP)])
def test_a_step_tests_what_is_checked_out(source: Path, tmp_path: Path, told: bool | None, status: int) -> None:
    builds, _ = steps(source, tmp_path / "out")
    git_says(builds.tree, "checkout", "--quiet", git_says(source, "rev-parse", "HEAD"))
    asked = list[Path]()

    def test(binary: Path) -> bool | None:
        asked.append(binary)
        return told

    assert one_step(builds, test) == status
    assert len(asked) == 1
    git_says(builds.tree, "checkout", "--quiet", "HEAD~1")
    assert one_step(builds, lambda path: True) == SKIP


def test_a_step_is_this_program_again() -> None:
    assert step_command(["--by", "check"]) == [sys.executable, "-m", "qstress", "bisect", "--by", "check", "--step"]


@pytest.mark.parametrize(
    ("asked", "outcome", "finding_class", "told"),
    [
        ((), Outcome.CRASH, FindingClass.CRASH, (True, True)),
        ((FindingClass.LOST_INIT,), Outcome.CRASH, FindingClass.CRASH, (True, False)),
        ((FindingClass.LOST_INIT,), Outcome.HANG, FindingClass.LOST_INIT, (True, True)),
        ((), Outcome.OK, None, (True, False)),
        ((), Outcome.RIG, None, (False, False)),
    ],
)
def test_only_what_is_asked_for_shows_and_only_what_counts_tells(
    asked: tuple[FindingClass, ...], outcome: Outcome, finding_class: FindingClass | None, told: tuple[bool, bool]
) -> None:
    seen = bisect._Told(asked)
    go_on = seen.take([FinishedTrial(TrialResult(trial(), Verdict(outcome, "t", finding_class), 0.0, 1.0))])
    assert ((seen.counted, seen.shown), go_on) == (told, not told[1])
