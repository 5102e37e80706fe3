"""``qstress bisect``: the revision of QEMU that brought a fault.

Where one boot decides, git finds it (``git bisect run``). Where the fault is racy, git-bayesect's model does: it takes
each revision from the first bad one on to show the fault with one unknown probability, those before it with another,
and asks next where the answer is worth most. Its observation is a process-run, as everywhere: whether it showed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import anyio

from qstress.config.binary import qemu_version, sha256_of
from qstress.config.settings import Settings
from qstress.errors import RigError
from qstress.host.check import run_check
from qstress.host.sandbox import has_sandbox
from qstress.interposer import build as interposer
from qstress.model import Build, Cell, FindingClass, Trial
from qstress.qemu_build.revisions import Revision, RevisionBuilds, git_says
from qstress.report.wording import rate
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, TrialContext
from qstress.trial.process_run import run_process

#: What ``git bisect run`` takes an exit status for: good, bad, not to be told; from 128 on it gives up.
GOOD, BAD, SKIP, GIVE_UP = 0, 1, 125, 128
#: How often in a row nothing can be told of a QEMU before that is an error.
_TRIES = 3

#: The weight of what cannot be, that the good revision is the first bad one: the model takes a logarithm of it.
_GOOD_IS_BAD = 1e-12

_MISSING = "a racy fault is bisected with git-bayesect, which is missing: pip install 'qstress[bisect]'"

Say = Callable[[str], None]
#: Whether a QEMU shows the fault; None: it cannot be told.
Test = Callable[[Path], bool | None]


@dataclass(frozen=True, slots=True)
class Bisected:
    """What came of it: the first bad revision with its probability (1 where one boot decides), and what it took.

    ``bad`` and ``good`` are in how many of how many tests it showed from that revision on, and before it.
    """

    first_bad: Revision
    probability: float
    tests: int
    builds: int
    skipped: int
    bad: tuple[int, int] = (0, 0)
    good: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """Lines for a person."""
        took = f"{self.tests} tests, {self.builds} builds, {self.skipped} revisions that do not build"
        lines = [f"first bad revision: {self.first_bad}", took]
        if self.bad[1] or self.good[1]:
            chance = (
                f"probability {self.probability:.4f}; shown from it on {rate(*self.bad)}, before it {rate(*self.good)}"
            )
            lines.insert(1, chance)
        return "\n".join(lines)

    @property
    def document(self) -> dict[str, Any]:
        """The same as values for JSON."""
        return asdict(self)


def test_by_check(settings: Settings) -> Test:
    """Return the test whether QEMU's SMI write-back is unguarded, which one boot tells."""
    shape = settings.strata[0].shape

    def test(binary: Path) -> bool | None:
        answer, _ = anyio.run(
            partial(run_check, _as_built(settings, binary), shape.accel, machine=shape.machine, bringups=0)
        )
        return answer.bad

    return test


def test_by_trials(settings: Settings, classes: Sequence[FindingClass], say: Say) -> Test:
    """Return the test whether a process-run of a QEMU, as *settings* have it, shows a finding.

    :param classes: which classes count; none: any finding.
    """
    stratum, runs = settings.strata[0], Counter[str]()

    def test(binary: Path) -> bool | None:
        cell = Cell(_as_built(settings, binary), stratum)
        first = runs["trials"]
        runs["trials"] += stratum.shape.process_trials
        trials = [Trial(n, n, 0, cell, settings.seed + n) for n in range(first, runs["trials"])]
        told = _Told(classes)
        context = TrialContext(
            env=interposer.environment(cell.build), sandbox=has_sandbox(cell.build), evidence=EvidenceQuota(0)
        )
        anyio.run(run_process, trials, context, told)
        say(f"{binary.name}: {told.last}")
        return told.shown if told.counted else None

    return test


class _Told(Coordinator):
    """Whether a trial of a process-run counted, and whether one showed what is asked for: then it is over."""

    def __init__(self, classes: Sequence[FindingClass]) -> None:
        self._classes = classes
        self.counted = self.shown = False
        self.last = ""

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        for verdict in (each.result.verdict for each in finished):
            self.counted |= verdict.outcome.counted
            asked = not self._classes or verdict.finding_class in self._classes
            self.shown |= verdict.outcome.finding and asked
            self.last = verdict.title
        return not self.shown


def _as_built(settings: Settings, binary: Path) -> Build:
    """Return the first build of *settings* with *binary* in its place."""
    build = settings.builds[0]
    version = qemu_version(binary, dict(build.env))
    return replace(build, binary=str(binary), version=version, sha256=sha256_of(binary))


def bisect_racy(
    revisions: Sequence[Revision], builds: RevisionBuilds, test: Test, *, confidence: float, most_tests: int, say: Say
) -> Bisected:
    """Return the most probable first bad revision, once it is so with *confidence*, or after *most_tests*.

    :param revisions: newest first; the last one is good, and asked as the others are.
    :raises RigError: git-bayesect is not installed, none of the revisions builds, or a test cannot be done.
    """
    try:
        from git_bayesect import Bisector
    except ImportError as error:
        raise RigError(_MISSING, reason="extra-missing") from error
    model, tests, skipped = Bisector([1.0] * (len(revisions) - 1) + [_GOOD_IS_BAD]), 0, set[int]()
    shown = Counter[int]()
    tried = Counter[int]()
    while tests < most_tests and float(model.distribution.max()) < confidence:
        index = _nearest(model.select(), skipped, len(revisions))
        binary = builds.binary(revisions[index].sha)
        if binary is None:
            skipped.add(index)
            continue
        observed = _observed(test, binary)
        model.record(index, observed)
        tests, tried[index], shown[index] = tests + 1, tried[index] + 1, shown[index] + observed
        best = int(model.distribution.argmax())
        say(f"test {tests}: {revisions[index].sha[:12]} {'bad' if observed else 'good'}; "
            f"{revisions[best].sha[:12]} is the first bad one with {float(model.distribution[best]):.3f}")  # fmt: skip
    best = int(model.distribution.argmax())
    sides = [
        (sum(shown[i] for i in side), sum(tried[i] for i in side))
        for side in (range(best + 1), range(best + 1, len(revisions)))
    ]
    probability = float(model.distribution[best])
    return Bisected(revisions[best], probability, tests, builds.built, len(skipped), sides[0], sides[1])


def _nearest(index: int, skipped: set[int], count: int) -> int:
    """Return the revision nearest to *index* that builds as far as is known.

    One that does not build may still be the first bad one, so it stays in the model and is not asked.
    """
    left = [each for each in range(count) if each not in skipped]
    if not left:
        raise RigError("none of the revisions builds", reason="build")
    return min(left, key=lambda each: abs(each - index))


def _observed(test: Test, binary: Path) -> bool:
    for _ in range(_TRIES):
        if (observed := test(binary)) is not None:
            return observed
    raise RigError(f"{binary}: {_TRIES} times in a row nothing could be told of it", reason="rig")


def bisect_by_steps(
    revisions: Sequence[Revision], builds: RevisionBuilds, step: Sequence[str], *, say: Say
) -> Bisected:
    """Have ``git bisect run`` find the first bad revision; *step* tests the one that is checked out in the clone.

    :param revisions: newest first; the last one is good.
    :raises RigError: git or a step gives up, or revisions that do not build hide it.
    """
    newest, oldest = revisions[0].sha, revisions[-1].sha
    git_says(builds.tree, "checkout", "--quiet", "--force", "--detach", newest)
    git_says(builds.tree, "bisect", "start", "--first-parent", newest, oldest)
    words = ["git", "-C", str(builds.tree), "bisect", "run", *step]
    lines = []
    with Popen(words, stdout=PIPE, stderr=STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            say(line.rstrip())
    log = git_says(builds.tree, "bisect", "log")
    git_says(builds.tree, "bisect", "reset", newest)
    found = next((line.split()[0] for line in lines if line.endswith(" is the first bad commit")), None)
    if process.returncode or found is None:
        raise RigError(f"git bisect gave up: {lines[-1] if lines else 'it said nothing'}", reason="build")
    asked = [
        line for line in log.splitlines() if line.startswith(("git bisect good", "git bisect bad", "git bisect skip"))
    ]
    skipped = sum("skip" in line for line in asked)
    revision = next(each for each in revisions if each.sha == found)
    return Bisected(revision, 1.0, len(asked) - skipped, len(asked) - skipped, skipped)


def one_step(builds: RevisionBuilds, test: Test) -> int:
    """Test the revision that is checked out in the clone; return the status that ``git bisect run`` understands.

    :raises RigError: as the test.
    """
    binary = builds.binary(git_says(builds.tree, "rev-parse", "HEAD"))
    if binary is None or (observed := test(binary)) is None:
        return SKIP
    return BAD if observed else GOOD


def step_command(arguments: Sequence[str]) -> list[str]:
    """Return the command of one step: this program with *arguments*."""
    return [sys.executable, "-m", "qstress", "bisect", *arguments, "--step"]
