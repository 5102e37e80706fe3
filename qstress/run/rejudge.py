"""A recorded finding judged again: what the watch of today says of the events that it was found by."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from qstress.errors import ConfigError
from qstress.model import Verdict
from qstress.store.evidence import JOURNAL_FILE
from qstress.trial.journal import Rejudged, rejudged


def judge_again(path: Path, form: str) -> str:
    """Return what the watch says today of the finding in *path*, an evidence folder or its journal, and whether that
    differs from what was recorded.

    :param form: ``"text"`` or ``"json"``.
    :raises ConfigError: there is no journal, or it cannot be read.
    """
    again = read_journal(path / JOURNAL_FILE if path.is_dir() else path)
    if form == "json":
        said = None if again.today is None else _as_json(again.today)
        document = {
            "verdict": said, "recorded": _as_json(again.recorded), "same": again.same,
            "skipped_events": again.skipped, "trial": again.about,
        }  # fmt: skip
        return json.dumps(document, indent=1)
    return "\n".join(_lines(again))


def read_journal(path: Path) -> Rejudged:
    """Judge the journal in the file *path* again.

    :raises ConfigError: it cannot be read, or is no journal.
    """
    try:
        return rejudged(path.read_bytes())
    except FileNotFoundError as error:
        hint = "older findings have none; explain reads their dumps.txt"
        raise ConfigError(f"{path}: no journal of events is there: {hint}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def _lines(again: Rejudged) -> Iterable[str]:
    today = again.today
    if today is None:
        yield "no verdict: with these events the watch of today would go on"
    else:
        yield f"{today.finding_class or today.outcome} ({today.confidence})"
        yield f"  {today.title}"
        yield "because"
        yield from (f"  - {reason}" for reason in today.because)
    if again.same:
        yield "as recorded"
    else:
        then = again.recorded
        yield f"recorded was {then.finding_class or then.outcome} ({then.confidence}): {then.title}"
    if again.skipped:
        yield f"{again.skipped} events were answers to questions that the watch does not ask today"


def _as_json(verdict: Verdict) -> dict[str, object]:
    return {
        "outcome": verdict.outcome.value,
        "class": verdict.finding_class,
        "title": verdict.title,
        "confidence": verdict.confidence.value,
        "because": list(verdict.because),
    }
