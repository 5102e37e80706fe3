"""The API as its document shows it, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from qstress import api
from tests.cli.command import ROOT
from tests.recorded.samples import recorded
from tests.stats.samples import LOST, OK

DOCUMENT = (ROOT / "docs/api.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def wrong(value: object, hint: Any, path: str = "$") -> list[str]:
    """Where *value* is not of the type *hint*, as far as typed documents go."""
    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        needed = {key for key, each in hints.items() if get_origin(each) is not NotRequired}
        if not isinstance(value, dict) or not needed <= set(value) <= set(hints):
            return [f"{path}: {value!r} has not the keys {sorted(hints)}"]
        return [line for key in value for line in wrong(value[key], hints[key], f"{path}.{key}")]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return wrong(value, parts[0], path)
    if origin is UnionType:
        found = [wrong(value, part, path) for part in parts]
        return [] if [] in found else found[0]
    if origin is Literal:
        return [] if value in parts else [f"{path}: {value!r} is none of {parts}"]
    if origin is list and isinstance(value, list):
        return [line for n, each in enumerate(value) for line in wrong(each, parts[0], f"{path}[{n}]")]
    if origin is Mapping and isinstance(value, dict):
        return [line for key, each in value.items() for line in wrong(each, parts[1], f"{path}.{key}")]
    plain: Any = {Any: object, float: (int, float), None: NoneType}.get(hint, hint)
    return [] if origin is None and isinstance(value, plain) else [f"{path}: {value!r} is not {hint}"]


def test_the_types_of_a_summary_are_what_is_in_it(tmp_path: Path) -> None:
    run = api.read_run(recorded(tmp_path, [(LOST, OK)] * 9).path)
    assert wrong(run.summary, api.SummaryDocument) == []
    assert wrong({**run.summary, "exit_code": "0"}, api.SummaryDocument) == ["$.exit_code: '0' is not <class 'int'>"]
    assert wrong({**run.summary, "more": 0}, api.SummaryDocument) != []


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = recorded(tmp_path, [(LOST, OK)] * 9, exit_code=1).path
    run = api.read_run(str(path))
    assert run.summary == json.loads((path / "summary.json").read_text())
    assert (run.path, run.exit_code) == (path, 1)
    assert run.evidence
    assert all(folder.is_dir() for folder in run.evidence)


def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(api.ConfigError, match="did you mean 'smp64'"):
        api.load("smp46")
    with pytest.raises(api.ConfigError, match="^overrides: guest.smp: 'sixteen' is not a whole number"):
        api.load("smp64", {"guest.smp": "sixteen"})
    with pytest.raises(api.ConfigError):
        api.read_run(tmp_path)
    assert api.load("smp64").name == "smp64"


def test_a_text_is_explained() -> None:
    dumps = (ROOT / "docs/example-finding/dumps.txt").read_text()
    told = api.explain(dumps)
    assert (told.verdict, told.document["verdict"]) == ("lost-init", "lost-init")
    assert told.text.startswith("lost-init")
    assert told == api.explain(dumps.encode())
    assert api.explain("\udcff").verdict == "not-a-dump"
    log = api.explain("[    1.000000] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [qemu-system-x86:77]\n")
    assert (log.verdict, log.confidence) == ("host-kernel", None)


@pytest.mark.qemu
@pytest.mark.timeout(150)
def test_the_examples_of_the_document_run(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 3
    printed = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        ).stdout.splitlines()
        for example in EXAMPLES
    ]  # fmt: skip
    ran, read, explained = printed
    assert len(ran[:-2]) == 4
    assert all(re.match(r"trial \d+: lost INIT: .* \[evidence/\d+\]$", line) for line in ran[:-2])
    assert ran[-2:] == ["unpatched: 4 of 4 hung", "fix-imitated: 0 of 4 hung"]
    assert read[0].startswith("4 x lost INIT")
    assert explained == ["lost-init"]


@pytest.mark.qemu
@pytest.mark.timeout(150)
def test_a_thread_may_soak_and_a_host_that_cannot_is_told(tmp_path: Path) -> None:
    experiment = api.load("injected", {"stop.trials": 2, "guest.smp": 2, "runs_dir": str(tmp_path / "runs")})
    done: list[api.RecordedSoak] = []
    thread = threading.Thread(target=lambda: done.append(api.run_soak(experiment)))
    thread.start()
    thread.join()
    assert done[0].summary["reason"] == "trials"
    assert done[0].path.parent == tmp_path / "runs"
    (tmp_path / "file").write_text("")
    with pytest.raises(api.RigError, match="file"):
        api.run_soak(api.load("injected", {"runs_dir": str(tmp_path / "file/runs")}))
