"""Where a run stands by its settings: its builds compared, its gate asked, its exit code (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from qstress.config.settings import Settings
from qstress.report.gate import GateResult, PastRun, control_of, exit_code, gate
from qstress.stats.compare import Comparison, compare
from qstress.stats.tally import Tally


@dataclass(frozen=True, slots=True)
class Standing:
    """Each candidate against the baseline (none where nothing is compared), the gate if there is one, and the exit
    code of a run that ended by its stop rule."""

    comparisons: tuple[Comparison, ...]
    gate: GateResult | None
    exit_code: int


def standing(
    settings: Settings, tally: Tally, *, complete: bool, past: PastRun | None = None, extended: bool = False
) -> Standing:
    """Return where a run with *settings* stands after *tally*.

    :param complete: all planned trials ran, or all of the planned time has passed.
    :param past: the newest earlier run of the same settings that passed, for a gate that asks for it.
    :param extended: somebody looked and made the run longer, so that limits of one look would claim too much.
    """
    asked, ruled = settings.compare, settings.gate
    every_look = settings.stop_decided or extended
    comparisons = [
        compare(tally, asked.baseline, candidate, alpha=asked.alpha, confidence=asked.confidence, complete=complete)
        for candidate in (asked.candidates if asked else ())
        if asked
    ]
    result = None
    if ruled is not None:
        control = control_of(asked, ruled, every_look=every_look)
        result = gate(tally, comparisons, ruled, control=control, past=past, every_look=every_look)
    return Standing(tuple(comparisons), result, exit_code(tally, comparisons, result))
