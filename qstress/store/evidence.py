"""A finding's folder: what convinces a sceptic, and enough to run the trial again.

Its files (docs/reference.md, "Evidence"): ``finding.json``, ``dumps.txt``, ``console.log``, ``commands.jsonl``,
``threads.json``, ``events.jsonl``, ``stderr.txt`` and ``repro.sh``. All are always there, if empty; beside them lie
the files for people that whoever keeps the evidence makes of it: ``bug.md``, ``story.txt``, ``timeline.svg``. A guest
that printed on its serial port has ``serial.log``, a QEMU that crashed or stood still ``stacks.txt``, a finding of a
trial ``journal.jsonl``, from which it can be judged again (:mod:`qstress.trial.journal`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qstress.errors import ConfigError
from qstress.firmware import tier_of
from qstress.model import Evidence, Host, Trial, TrialResult, Verdict
from qstress.store.files import json_bytes, sync_folder, write_file

FORMAT = 1
#: Where a finding keeps the events that its verdict was made of.
JOURNAL_FILE = "journal.jsonl"
#: The end of what the guest printed on its serial port, where it has one.
SERIAL_FILE = "serial.log"
#: What every QEMU thread was doing, where it crashed or stood still.
STACKS_FILE = "stacks.txt"


def kept_bytes(root: Path) -> int:
    """Return the size of all files in the evidence folders under *root*.

    :raises OSError: the host refuses.
    """
    return sum(path.stat().st_size for path in root.glob("*/*"))


def write_evidence(
    folder: Path,
    result: TrialResult,
    evidence: Evidence,
    *,
    run_id: str,
    repro_script: str,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Make *folder* (0700) and durably write the evidence of *result* into it (0600, ``repro.sh`` 0700).

    The folder's own name becomes durable only when its parent is synced.

    :param texts: further files by name, for people.
    :returns: how many bytes were written.
    :raises OSError: the host refuses, or *folder* exists; what was written so far is left.
    """
    script = repro_script.encode(errors="backslashreplace")
    files = {
        **{name: text.encode(errors="backslashreplace") for name, text in texts.items()},
        "dumps.txt": _dumps(evidence.dumps),
        "console.log": evidence.console,
        "commands.jsonl": _lines(evidence.commands),
        "threads.json": json_bytes([{**asdict(thread), "share": thread.share} for thread in evidence.threads]),
        "events.jsonl": _lines(evidence.events),
        "stderr.txt": evidence.stderr.encode(errors="backslashreplace"),
        "finding.json": json_bytes(finding(result, evidence, run_id=run_id)),
        **({SERIAL_FILE: evidence.serial} if evidence.serial else {}),
        **({STACKS_FILE: evidence.stacks.encode()} if evidence.stacks else {}),
        **({JOURNAL_FILE: evidence.journal} if evidence.journal else {}),
    }
    folder.mkdir(mode=0o700)
    for name, data in files.items():
        write_file(folder / name, data)
    write_file(folder / "repro.sh", script, mode=0o700)
    sync_folder(folder)
    return len(script) + sum(map(len, files.values()))


def finding(result: TrialResult, evidence: Evidence, *, run_id: str) -> dict[str, object]:
    """Return the content of ``finding.json``; its ``trial`` is what :func:`trial_from_json` takes."""
    trial, verdict = result.trial, result.verdict
    build, shape = trial.cell.build, trial.cell.stratum.shape
    return {
        "format": FORMAT,
        "run": run_id,
        "number": trial.number,
        "block": trial.block,
        "seed": trial.seed,
        "outcome": verdict.outcome,
        "class": verdict.finding_class,
        "signature": verdict.signature,
        "title": verdict.title,
        "confidence": verdict.confidence,
        "because": verdict.because,
        "build": {key: getattr(build, key) for key in ("name", "version", "sha256", "binary")},
        "smp": shape.smp,
        "machine": shape.machine,
        "accel": shape.accel,
        "smm": build.smm,
        "fix_imitated": build.fix_imitated,
        "injected": trial.inject_lost_ap,
        "tier": tier_of(trial.cell),
        "hammer": trial.cell.stratum.hammer_label,
        **({"host": asdict(result.host)} if result.host else {}),
        "started_s": result.started_s,
        "duration_s": result.duration_s,
        "boot_s": result.boot_s,
        "detection_s": result.detection_s,
        "wait_loop": None if evidence.wait_loop is None else asdict(evidence.wait_loop),
        "threads": [{"vcpu": t.index, "state": t.state, "share": round(t.share, 3)} for t in evidence.threads],
        "commands": [asdict(count) for count in result.commands],
        "notes": evidence.notes,
        "argv": evidence.argv,
        "env": dict(evidence.env),
        "trial": asdict(trial),
    }


def trial_from_json(obj: object) -> Trial:
    """Rebuild the trial from the ``trial`` object of a ``finding.json``.

    :raises ConfigError: it is not such an object.
    """
    try:
        trial: Trial = _adapter(Trial).validate_python(obj)
        return trial
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "trial"
        raise ConfigError(f"not a recorded trial: {where}: {first['msg']}") from error


def read_finding(folder: Path) -> tuple[Trial, Verdict, Host | None]:
    """Read the trial, the verdict, and, of a run on several hosts, which one it was back from an evidence folder.

    :raises ConfigError: the folder holds no ``finding.json`` of this format.
    """
    path = folder / "finding.json"
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ConfigError(f"{path}: not a finding of format {FORMAT}")
        words = {key: content.get(key) for key in ("outcome", "title", "signature", "confidence", "because")}
        verdict = _adapter(Verdict).validate_python({**words, "finding_class": content.get("class")})
        host = _adapter(Host).validate_python(content["host"]) if content.get("host") else None
        return trial_from_json(content.get("trial")), verdict, host
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or not a verdict
        raise ConfigError(f"{path}: not a finding: {str(error).splitlines()[0]}") from error


# Built on first use: pydantic takes a while to build one, and --help must not pay for it.
@cache
def _adapter(of: type) -> TypeAdapter[Any]:
    return TypeAdapter(of)


def _dumps(dumps: Iterable[tuple[float, str]]) -> bytes:
    parts = [
        f"==== dump {number}, {at_s:.6f} s after cont ====\n{text.replace(chr(13), '').strip(chr(10))}\n\n"
        for number, (at_s, text) in enumerate(dumps, 1)
    ]
    return "".join(parts).encode(errors="backslashreplace")


def _lines(objects: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(obj, default=str).encode() + b"\n" for obj in objects)
