"""What a run adds up to, block by block: the tally, and the way its evidence took; kept in the store now and then."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

from qstress.config.settings import Settings
from qstress.errors import ConfigError
from qstress.model import TrialResult
from qstress.plan.schedule import Plan
from qstress.report.trace import Trace
from qstress.stats.tally import Tally
from qstress.store import sums
from qstress.store.record import RunRecord
from qstress.store.write import RunStore

#: Sums are kept after so many more trials, and after so large a share more of them: a reader never has much to add
#: (about 40 us a trial), and the writer writes them a few dozen times in a million trials.
KEEP_TRIALS, KEEP_SHARE = 5_000, 1 / 16


class RunTotals:
    """The tally of one run and its trace, from new or from a record."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        """Begin with nothing: *plan* is that of *settings*."""
        asked = settings.compare
        pairs = [(asked.baseline, candidate) for candidate in asked.candidates] if asked else []
        self.tally = Tally(plan.cells, pairs, settings.asked_classes)
        self.trace = Trace()
        self._trials = self._kept = 0

    def add_block(self, results: Sequence[TrialResult], evidence: Mapping[int, str | None]) -> None:
        """Add a finished block, as :meth:`qstress.stats.tally.Tally.add_block`."""
        self.tally.add_block(results, evidence)
        self.trace.note(self.tally)
        self._trials += len(results)

    def keep(self, store: RunStore, *, at_once: bool = False) -> None:
        """Keep the sums in *store* if it is time to; *at_once*: if there is anything new.

        :raises RigError: the host refuses; what was kept before stays.
        """
        new = self._trials - self._kept
        if new >= max(KEEP_TRIALS, self._trials * KEEP_SHARE) or (at_once and new):
            content = {"tally": sums.dump_tally(self.tally), "trace": self.trace.dump()}
            packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
            store.keep_sums(self.tally.blocks, sums.code(), packed)
            self._kept = self._trials

    def restore(self, record: RunRecord, plan: Plan) -> None:
        """Add everything that *record* holds: exactly what the process that wrote it had added.

        :raises ConfigError: the record is damaged, or of another plan.
        """
        first, findings = self._restore_sums(record), record.findings()
        folders = {found.number: found.evidence for found in findings if found.counted}
        rest = record.results(plan.block, first)
        for found in findings:  # in the order in which the run met them: the first of a kind gives it its title
            if not found.counted or found.block < first:
                self.tally.add_finding(
                    found.verdict, found.cell_index, found.evidence, counted=found.counted, host=found.host
                )
            while found.counted and self.tally.blocks <= found.block:
                self.add_block(next(rest), folders)
        for results in rest:
            self.add_block(results, folders)

    def _restore_sums(self, record: RunRecord) -> int:
        """Begin with the sums that were kept, if they can be used; return how many blocks they hold."""
        blocks, packed = record.sums(sums.code()) or (0, b"")
        if not blocks:
            return 0
        try:
            content = json.loads(zlib.decompress(packed))
            sums.load_tally(self.tally, content["tally"])
            self.trace = Trace.load(content["trace"])
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, zlib.error) as error:
            raise ConfigError(f"{record.path}/trials.db: its sums are damaged: {error!r}") from error
        self._trials = self._kept = self.tally.trials
        return blocks
