"""``summary.json``, format 2 (docs/reference.md, "summary.json"): plain values from a run's facts, its tally and its
comparisons."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from qstress.firmware import tier_of
from qstress.model import Accel
from qstress.report.bugs import Bug, bugs
from qstress.report.hosts import host_contrasts_document, host_document
from qstress.report.wording import shape_text, verdict_sentence
from qstress.stats.cells import CellTally
from qstress.stats.clusters import widened
from qstress.stats.compare import ALWAYS, Comparison, Contrast
from qstress.stats.exposure import Exposure
from qstress.stats.histogram import Histogram
from qstress.stats.tally import Tally

CONFIDENCE = 0.95
#: 1: a finding for each cell and signature, and cells that do not say on which host they ran.
FORMAT = 2


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a report says of a run beside its numbers.

    ``run`` is the folder's name, ``folder`` its path as a user would type it (for ``qstress repro`` lines);
    ``started`` and ``finished`` are ISO 8601; ``reason`` and ``exit_code`` as docs/reference.md, "summary.json", lists
    them; ``kvm`` is vmx, svm, pvm or other, ``nested`` whether the host itself is a guest (None: not known).
    """

    run: str
    folder: str
    name: str
    started: str
    finished: str | None
    reason: str
    exit_code: int
    host: Mapping[str, object]
    lanes: int
    kvm: str | None = None
    nested: bool | None = None
    fleet: Mapping[str, Any] = field(default_factory=dict)  # how its workers did; empty without any


def summary(facts: RunFacts, tally: Tally, comparisons: Sequence[Comparison] = ()) -> dict[str, object]:
    """Return the content of ``summary.json``. Floats have six significant digits; None stands for "no data".

    ``compare`` is the first comparison; a run with several candidates has all of them in ``comparisons`` as well.
    ``evalue_log10`` always speaks for "the candidate is better", also where the decision is that it is worse.
    """
    content: dict[str, object] = {
        "format": FORMAT,
        "run": facts.run,
        "name": facts.name,
        "started": facts.started,
        "finished": facts.finished,
        "reason": facts.reason,
        "exit_code": facts.exit_code,
        "host": dict(facts.host),
        "cells": [_cell(tally, cell, facts) for cell in tally.cells],
        "findings": [_bug(bug, facts) for bug in bugs(tally.findings)],
        "compare": _comparison(comparisons[0]) if comparisons else None,
    }
    if len(tally.hosts) > 1:
        content["hosts"] = host_contrasts_document(tally)
    if facts.fleet:
        content["fleet"] = dict(facts.fleet)
    if len(comparisons) > 1:
        content["comparisons"] = [_comparison(comparison) for comparison in comparisons]
    return content


def repro_line(bug: Bug, facts: RunFacts) -> str:
    """Return the command that runs *bug* again, quoted for a shell; empty where no evidence was kept."""
    if not bug.evidence:
        return ""
    return f"qstress repro {shlex.quote(f'{facts.folder}/{bug.evidence[0]}')}"


def _cell(tally: Tally, cell: CellTally, facts: RunFacts) -> dict[str, object]:
    build, shape = cell.cell.build, cell.cell.stratum.shape
    on_kvm = shape.accel is Accel.KVM
    index = tally.hang_dispersion([cell])
    hang_rate = _rate(cell.hangs, cell.n, index)
    classes = [c for c, count in cell.classes.items() if count or c in ALWAYS]
    return {
        "build": build.name,
        "smp": shape.smp,
        "machine": shape.machine,
        "accel": shape.accel.value,
        "firmware": shape.firmware,
        "tier": tier_of(cell.cell).value,
        "kvm": facts.kvm if on_kvm else None,
        "nested": facts.nested if on_kvm else None,
        "smm": build.smm.value,
        "trials": cell.trials,
        "outcomes": {outcome.value: count for outcome, count in cell.outcomes.items()},
        "hammer": cell.cell.stratum.hammer_label,
        "lanes": facts.lanes,
        "host": host_document(cell.cell.stratum.host, facts.host, build.name),
        "classes": {
            c.value: {"count": cell.classes[c], **_rate(cell.classes[c], cell.n, tally.dispersion([cell], [c]))}
            for c in classes
        },
        "hang_rate": {
            "estimate": hang_rate["rate"],
            "lower": hang_rate["lower"],
            "upper": hang_rate["upper"],
            "confidence": CONFIDENCE,
        },
        "process_runs": {
            "trials": shape.process_trials,
            "count": cell.runs,
            "dispersion": rounded(index),
            "hang_shares": cell.hang_shares,
            "class_shares": {c.value: cell.class_shares[c] for c in classes},
        },
        "commands": cell.sent,
        "commands_per_s": rounded(cell.sent / cell.hammered_s) if cell.hammered_s else None,
        "duty_cycle": rounded(cell.duty_cycle),
        "kicks": None if cell.kicks is None else asdict(cell.kicks),
        "boot_s": _quantiles(cell.boot),
        "first_hang_s": rounded(cell.first_hang_s),
        "detection_s": _quantiles(cell.detection) if cell.detection.count else None,
    }


def _rate(k: int, n: int, dispersion: float | None) -> dict[str, float | None]:
    if n == 0:
        return {"rate": None, "lower": None, "upper": None}
    limits = widened(k, n, dispersion, CONFIDENCE)
    return {"rate": rounded(k / n), "lower": rounded(limits.lower), "upper": rounded(limits.upper)}


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    return {"p50": rounded(histogram.quantile(0.5)), "p99": rounded(histogram.quantile(0.99))}


def _bug(bug: Bug, facts: RunFacts) -> dict[str, object]:
    return {
        "class": bug.finding_class.value,
        "title": bug.title,
        "count": bug.count,
        "cells": [
            {"build": build, "smp": smp, "host": host_document(host, facts.host, build), "count": count}
            for (build, smp, host), count in bug.places.items()
        ],
        "signatures": list(bug.signatures),
        "evidence": bug.evidence,
        "repro": repro_line(bug, facts),
    }


def _comparison(comparison: Comparison) -> dict[str, object]:
    return {
        "baseline": comparison.baseline,
        "candidate": comparison.candidate,
        "by_class": {c.value: _contrast(contrast) for c, contrast in comparison.by_class.items()},
        **_contrast(comparison.overall),
        "sentence": verdict_sentence(comparison),
        "exposures": [_exposure(exposure) for exposure in comparison.exposures],
    }


def _contrast(contrast: Contrast) -> dict[str, object]:
    """Return the keys of docs/reference.md, "summary.json", and, where trials share a process, what stands beside them:
    ``fisher_p`` is None then, for it takes all trials as independent."""
    clustered: dict[str, object] = {}
    if contrast.runs is not None:
        clustered = {
            "permutation_p": rounded(contrast.permutation_p),
            "process_runs": {
                "baseline": {"found": contrast.runs.k_a, "count": contrast.runs.n_a},
                "candidate": {"found": contrast.runs.k_b, "count": contrast.runs.n_b},
            },
            "baseline_dispersion": rounded(contrast.dispersion_a),
            "candidate_dispersion": rounded(contrast.dispersion_b),
        }
    return {
        "evalue_log10": rounded(contrast.evalue_log10),
        "fisher_p": rounded(contrast.fisher_p),
        "decision": contrast.decision.value,
        "candidate_rate_upper": rounded(contrast.candidate_rate_upper),
        **clustered,
    }


def _exposure(exposure: Exposure) -> dict[str, object]:
    return {
        "measure": exposure.measure.value,
        "stratum": shape_text(exposure.cell),
        "baseline": rounded(exposure.baseline),
        "candidate": rounded(exposure.candidate),
        "differs": exposure.differs,
    }


def rounded(value: float | None) -> float | None:
    """Return *value* with six significant digits."""
    return None if value is None else float(f"{value:.6g}")
