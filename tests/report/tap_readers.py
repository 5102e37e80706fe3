"""TAP as others read it: each function returns how the cases of a document ended, in order, and refuses a document that
its reader finds wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mesonbuild.mtest import TAPParser

#: A kernel's source tree, in the environment; else what Debian's linux-source package is unpacked to.
LINUX_SOURCE = "LINUX_SOURCE"

_PERL = r"""
use TAP::Parser;
my $parser = TAP::Parser->new({ source => $ARGV[0] });
while (my $result = $parser->next) {
    print $result->has_skip ? "skip\n" : $result->is_ok ? "ok\n" : "not ok\n" if $result->is_test;
    die $result->as_string if $result->is_unknown;
}
die join(", ", $parser->parse_errors) if $parser->parse_errors;
die "version" if $parser->version != 13;
"""


def linux_source() -> Path:
    """Return a source tree of Linux that lies beside this one; without it the test is skipped."""
    given = os.environ.get(LINUX_SOURCE)
    trees = [Path(given)] if given else sorted(Path("/usr/src").glob("linux-source-*/"))
    if not trees:
        pytest.skip(f"no source tree of Linux: set {LINUX_SOURCE}, or unpack Debian's linux-source")
    return trees[-1]


def by_prove(document: str, folder: Path) -> list[str]:
    """Perl's TAP::Parser, which prove is made of; prove itself has to come to the same end."""
    path = folder / "document.tap"
    path.write_text(document)
    done = subprocess.run(["perl", "-e", _PERL, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended = done.stdout.splitlines()
    proved = subprocess.run(["prove", "--exec", "cat", path], capture_output=True, text=True, check=False)
    assert (proved.returncode == 0) == ("not ok" not in ended), proved.stdout
    return ended


def by_meson(document: str) -> list[str]:
    """Meson's parser."""
    ends = {"OK": "ok", "FAIL": "not ok", "SKIP": "skip"}
    events = list(TAPParser().parse(iter(document.splitlines())))
    bad = [event for event in events if isinstance(event, TAPParser.Error | TAPParser.UnknownLine)]
    assert bad == []
    return [ends[event.result.name] for event in events if isinstance(event, TAPParser.Test)]


def by_avocado(document: str) -> list[str]:
    """Avocado's parser."""
    script = (
        "import sys; from avocado.core.tapparser import TapParser as P; events = list(P(sys.stdin).parse());"
        "print('ENDS', *(e.result.name for e in events if isinstance(e, P.Test)),"
        "sum(isinstance(e, P.Error | P.Bailout) for e in events))"
    )
    return _python(script, document, {"PASS": "ok", "FAIL": "not ok", "SKIP": "skip"})


def by_kunit(document: str) -> list[str]:
    """The kernel's own parser of KTAP."""
    tree = linux_source()
    script = (
        "import sys; from kunit_parser import parse_run_tests as parse; test = parse(sys.stdin);"
        "print('ENDS', *(each.status.name for each in test.subtests), test.counts.errors)"
    )
    ends = {"SUCCESS": "ok", "FAILURE": "not ok", "SKIPPED": "skip"}
    return _python(script, document, ends, PYTHONPATH=str(tree / "tools/testing/kunit"))


def _python(script: str, document: str, ends: dict[str, str], **env: str) -> list[str]:
    """Run *script*, which prints a line ``ENDS``, the cases' ends and how many errors there were."""
    done = subprocess.run(
        [sys.executable, "-c", script], input=document, capture_output=True, text=True, check=False,
        env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ENDS")]
    *ended, errors = line.split()[1:]
    assert errors == "0", done.stdout
    return [ends[end] for end in ended]
