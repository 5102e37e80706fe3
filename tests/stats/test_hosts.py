"""Each host against the others, against Fisher's test and its stratified form done by hand."""

from __future__ import annotations

import pytest

from qstress.model import FindingClass
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.hosts import contrast_hosts
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import Tally
from tests.stats.samples import LOST, NEW, OK, OLD, build, cells, feed, feed_runs, verdicts


def test_one_host_alone_is_not_compared() -> None:
    tally = Tally(cells(build("stock"), build("fixed")))
    feed(tally, [LOST], [OK], host=OLD)
    assert contrast_hosts(tally).each == ()
    assert contrast_hosts(tally).smallest_p == 1.0


def test_a_host_is_compared_within_cells() -> None:
    tally = Tally(cells(build("stock"), build("fixed")))
    feed(tally, verdicts(18, 30), verdicts(3, 30), host=OLD)
    feed(tally, verdicts(4, 40), verdicts(0, 40), host=NEW)
    of_old, of_new = contrast_hosts(tally).each
    tables = [Table(18, 30, 4, 40), Table(3, 30, 0, 40)]
    assert of_old.p == of_new.p == pytest.approx(2 * stratified_greater(tables))
    assert (of_old.table, of_new.table) == (Table(21, 60, 4, 80), Table(4, 80, 21, 60))
    assert contrast_hosts(tally).spoken_of == [of_old, of_new]


def test_a_host_that_ran_other_cells_is_not_unlike_for_that() -> None:
    tally = Tally(cells(build("stock"), build("fixed"), smp=(4, 16)))
    feed(tally, verdicts(30, 30), verdicts(30, 30), first_cell=0, host=OLD)
    feed(tally, verdicts(0, 30), verdicts(0, 30), first_cell=2, host=NEW)
    assert [one.p for one in contrast_hosts(tally).each] == [1.0, 1.0]


def test_trials_that_share_a_process_count_as_one() -> None:
    tally = Tally(cells(build("stock"), build("fixed"), process_trials=4))
    feed_runs(tally, [[LOST] * 4, [OK] * 4], [[OK] * 4] * 2, host=OLD)
    feed_runs(tally, [[OK] * 4] * 6, [[OK] * 4] * 6, host=NEW)
    old, _ = contrast_hosts(tally).each
    assert old.p == pytest.approx(2 * fisher_greater(Table(1, 2, 0, 6)))
    assert old.table == Table(4, 16, 0, 48)
    assert old.of_class is FindingClass.LOST_INIT
    assert contrast_hosts(tally).spoken_of == []
