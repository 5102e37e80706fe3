from __future__ import annotations

from qstress.model import Host
from qstress.report.hosts import host_contrasts_document, host_document, host_lines
from qstress.stats.tally import Tally
from tests.stats.samples import LOST, NEW, OK, OLD, build, cells, feed, verdicts


def of_hosts(k_old: int, k_new: int) -> Tally:
    tally = Tally(cells(build("stock"), build("fixed")))
    feed(tally, verdicts(k_old, 30), verdicts(0, 30), host=OLD)
    feed(tally, verdicts(k_new, 30), verdicts(0, 30), host=NEW)
    return tally


def test_where_guests_ran() -> None:
    facts = {"kernel": "6.1.0-57-amd64", "emulated": {"cpus": 2}}
    assert host_document(None, {"kernel": "6.5"}) == {"kind": "this", "name": "this", "kernel": "6.5"}
    assert host_document(None, facts) == {"kind": "emulated", "name": "emulated", "kernel": "6.1.0-57-amd64"}
    several = {"kernel": "6.1, 6.12", "hosts": {"old": {"kernel": "6.1"}, "new": {"kernel": "6.12"}}}
    assert host_document(None, several, "new") == {"kind": "emulated", "name": "new", "kernel": "6.12"}
    assert host_document(OLD, facts) == {"kind": "worker", "name": "old", "kernel": "6.1.0"}


def test_a_run_on_one_host_says_nothing_of_hosts() -> None:
    tally = Tally(cells(build("stock"), build("fixed")))
    feed(tally, [LOST], [OK], host=OLD)
    assert host_lines(tally) == []
    feed(tally, [OK], [OK], host=OLD)
    assert host_contrasts_document(tally) == []


def test_a_class_that_depends_on_the_host_is_said_with_all_that_was_looked_at() -> None:
    head, of_old, of_new = host_lines(of_hosts(20, 2))
    assert head == (
        "hosts: old (kernel 6.1.0), new (kernel 6.12.0): rates may depend on it "
        "(one look, 2 such tests; nothing is decided by it)"
    )
    assert of_old.startswith("  lost-init: old 20/60 (33.4 %), the others 2/60 (3.4 %), p ")
    assert of_new.startswith("  lost-init: new 2/60")


def test_where_nothing_is_shown_the_smallest_p_is_told_among_how_many() -> None:
    (line,) = host_lines(of_hosts(5, 3))
    assert line.endswith("no class is shown to depend on it (smallest p 0.71 of 2 such tests)")


def test_without_a_finding_the_hosts_are_named() -> None:
    assert host_lines(of_hosts(0, 0)) == ["hosts: old (kernel 6.1.0), new (kernel 6.12.0)"]


def test_a_name_cannot_write_on_the_terminal() -> None:
    tally = of_hosts(0, 0)
    feed(tally, [OK], [OK], host=Host("x\x1b[31m", "6.1"))
    assert "\x1b" not in host_lines(tally)[0]


def test_the_document_has_every_host_and_class() -> None:
    document = host_contrasts_document(of_hosts(20, 2))
    assert [(one["host"], one["class"], one["found"], one["trials"], one["others_found"]) for one in document] == [
        ("old", "lost-init", 20, 60, 2), ("new", "lost-init", 2, 60, 20),
    ]  # fmt: skip
