"""Journals as they are written, read and judged again; those of live trials are in tests/live/test_journals.py."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from qstress.firmware import firmware_of
from qstress.firmware.base import SeriesReader
from qstress.firmware.streams import BootReader
from qstress.interposer.windows import RecordKind
from qstress.model import FindingClass, Outcome, Shape, Verdict
from qstress.trial import journal as journal_module
from qstress.trial.events import (
    BootCpuSeen,
    Dumped,
    Enough,
    HammersRested,
    Looked,
    LookFailed,
    Output,
    PlugTried,
    QemuExited,
    StallSeen,
    Started,
    Tick,
    WatchEvent,
    WindowLogRead,
)
from qstress.trial.journal import Journal, rejudged
from qstress.trial.watch import Watch, WatchSettings
from tests.interposer.test_windows import RESET_VECTOR, log, look
from tests.samples import running, seen, shape
from tests.trial.playbook import BANNER, CHECKIN, FOUND, PCI, SETTINGS
from tests.trial.test_watch import ABOUT, PLUGS, POLLED, SERIES, WAITS
from tests.verdict.examinations import HALTED, LOST_INIT, thread

UP = Dumped(seen(running(0), *(running(i, HALTED, halted=True) for i in (1, 2, 3))))
US = 100_000_000
SEABIOS = shape(4)
IN_SERIES = replace(shape(4), firmware="smpscan", restart="reset")
NO_CONSOLE = shape(4, observe="none")


def played(
    *told: WatchEvent | float, settings: WatchSettings = SETTINGS, of: Shape = SEABIOS, reader: BootReader | None = None
) -> tuple[Journal, Verdict]:
    """Tell the watch of a guest of shape *of* events; numbers are seconds that pass. Return the journal and what it
    came to."""
    reader = firmware_of(of).reader(of, None) if reader is None else reader
    watch, journal, now_s = Watch(settings, reader), Journal(settings, of, reader, {"trial": 3}), 100.0
    for each in (Started(now_s), *told):
        if isinstance(each, WatchEvent):
            journal.add(each, now_s)
            watch.step(each, now_s)
        else:
            now_s += each
    assert watch.verdict is not None
    return journal, watch.verdict


LOST = (BANNER, PCI, CHECKIN, 0.5, Tick(), BootCpuSeen(WAITS), Tick(), 0.1, HammersRested(), 0.1, Looked(LOST_INIT))
RACE = log(*look(2, US + 10, US + 20), *look(1, US + 100, US + 200), (US + 150, 2, RecordKind.WOKEN, 0),
           *look(1, US + 300, US + 310))  # fmt: skip
REPLAY = log(*look(1, US, US + 100, latched=1, mp=0, where=RESET_VECTOR))
CASES = {
    "ok": played(BANNER, PCI, CHECKIN, 0.2, FOUND, Tick()),
    "lost-init": played(*LOST),
    "lost-init with its cause": played(*LOST, WindowLogRead(RACE)),
    "crash": played(BANNER, 0.3, QemuExited(-11, "wörds \x1b"), Tick()),
    "stall": played(
        BANNER, 8.0, Output(b"\xff\n"), Tick(100.0), 2.0, StallSeen("S", True, (thread(0, 0.0, "S", "futex"),), 100.0)
    ),
    "stopped": played(BANNER, 1.0, Tick(), LookFailed(), StallSeen("T", False, (), None)),
    "plugged": played(
        BANNER, PCI, CHECKIN, CHECKIN, Tick(), PlugTried(True), 1.0, Tick(), HammersRested(), Looked(LOST_INIT),
        settings=PLUGS,
    ),
    "series": played(
        Output(ABOUT + b"()("), Tick(), Output(b"\x81)("), Tick(), WindowLogRead(REPLAY),
        settings=SERIES, of=IN_SERIES,
    ),
    "series over": played(Output(ABOUT + b"()("), Tick(), Enough(), settings=SERIES, of=IN_SERIES),
    "no console": played(Tick(), UP, 0.1, UP, Tick(), settings=POLLED, of=NO_CONSOLE),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_judged_again_nothing_differs(name: str) -> None:
    journal, verdict = CASES[name]
    again = rejudged(journal.written(verdict))
    assert again.today == again.recorded == verdict
    assert (again.same, again.skipped, again.about) == (True, 0, {"trial": 3})


def test_a_reader_in_the_middle_of_a_series_goes_on_where_it_was() -> None:
    reader = cast(SeriesReader, firmware_of(IN_SERIES).reader(IN_SERIES, None))
    reader.feed(ABOUT + b"()()(\x81")
    reader.over.clear()
    told = (Output(b")("), Tick())
    journal, verdict = played(*told, settings=SERIES, of=IN_SERIES, reader=reader)
    assert verdict.finding_class is FindingClass.REPLAYED_INIT
    assert rejudged(journal.written(verdict)).today == verdict


def test_what_the_watch_says_of_it_today_is_compared_with_what_was_recorded() -> None:
    journal, verdict = CASES["lost-init"]
    changes: tuple[dict[str, Any], ...] = ({"title": "x"}, {"outcome": Outcome.CRASH}, {"finding_class": None})
    for other in (replace(verdict, **change) for change in changes):
        again = rejudged(journal.written(other))
        assert (again.same, again.today, again.recorded) == (False, verdict, other)
    assert rejudged(journal.written(replace(verdict, because=()))).same


def test_a_watch_that_goes_another_way_leaves_events_out_and_may_come_to_no_verdict() -> None:
    """As if the judge had learned to wait longer since: the look comes before it asks for one."""
    journal, verdict = CASES["lost-init"]
    patient = json.loads(journal.written(verdict).splitlines()[0])
    patient["settings"]["limits"]["ask_s"] = "inf"
    lines = [json.dumps(patient).encode(), *journal.written(verdict).splitlines()[1:]]
    again = rejudged(b"\n".join(lines))
    assert (again.today, again.same) == (None, False)
    assert again.skipped == 2  # the boot CPU's answer and the look


def test_events_after_todays_verdict_are_left_out_but_for_the_window_log() -> None:
    journal, verdict = played(*LOST, WindowLogRead(RACE))
    hasty = json.loads(journal.written(verdict).splitlines()[0])
    hasty["settings"]["limits"]["boot_s"] = 0.1
    again = rejudged(b"\n".join([json.dumps(hasty).encode(), *journal.written(verdict).splitlines()[1:]]))
    assert again.today is not None
    assert again.today.title.startswith("given up")


def test_a_journal_without_end_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MOST_EVENTS", 3)
    journal, verdict = played(BANNER, PCI, CHECKIN, FOUND, Tick())
    lines = journal.written(verdict).splitlines()
    assert len(lines) == 5
    assert json.loads(lines[0])["dropped"] == 3


def test_it_is_lines_that_a_person_can_read() -> None:
    journal, verdict = CASES["lost-init"]
    head, *events, last = map(json.loads, journal.written(verdict).splitlines())
    assert head["about"] == {"trial": 3}
    assert head["settings"]["smp"] == 4
    assert head["shape"]["firmware"] == "seabios"
    assert head["log"] == {}  # a new one
    assert events[1] == {"event": "Output", "t_s": 100.0, "data": "SeaBIOS (version 1.16.2-debian)\n"}
    assert last["verdict"]["outcome"] == "hang"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"{}",
        b"[]\n{}\n",
        b'{"format": 1}\n{}\n',
        b'{"format": 2}\n{}\n',
        b'{"format": 1}\n1\n2\n',
    ],
)
def test_what_is_no_journal_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        rejudged(data)
