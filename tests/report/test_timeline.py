from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from qstress.interposer.windows import Log, RecordKind
from qstress.model import Confidence, Evidence, FindingClass, Outcome, Verdict
from qstress.report.lanes import HALTED, RESET_VECTOR, RUNNING, SPINNING, Lane, Span
from qstress.report.timeline import HeldWindow, Moment, Timeline, facts, moment_of, of, svg
from tests.interposer.test_windows import log, look
from tests.samples import at_reset, result, running, seen, trial

LOST = Verdict(Outcome.HANG, "lost INIT: CPU#1 <never> left", FindingClass.LOST_INIT, "x", Confidence.CERTAIN)
SHOWN = Timeline(
    title="lost INIT: CPU#1",
    lanes=(
        Lane("CPU#0", (Span(0.1, 0.5, RUNNING), Span(0.5, 1.0, SPINNING))),
        Lane("CPU#1", (Span(0.1, 1.0, RESET_VECTOR),)),
        Lane("CPU#2", (Span(0.1, 0.5, RESET_VECTOR), Span(0.5, 1.0, HALTED))),
    ),
    end_s=1.0,
    commands=tuple(i / 1000 for i in range(900)),
    milestones=(("banner", 0.05), ("pci", 0.5), ("checkin", 0.501)),
    looks_s=(0.95, 0.98),
    moment=Moment(0.4999, 0.5, (HeldWindow(1, 0.4998, 0.5001),)),
)
#: AP 1 is between read and write-back when AP 2 is woken.
RACE = log(*look(2, 10, 20), *look(1, 100, 200), (150, 2, RecordKind.WOKEN, 0), *look(1, 300, 310))
NAMESPACE = {"s": "http://www.w3.org/2000/svg"}


def texts(document: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(document).iterfind(".//s:text", NAMESPACE)]


def test_the_picture_names_each_vcpu_and_how_it_ended() -> None:
    words = texts(svg(SHOWN))
    for word in ("CPU#0", "CPU#1", "CPU#2", "spinning", "reset vector", "halted", "banner", "pci", "900 sent"):
        assert word in words
    assert any("Around the INIT" in word for word in words)


def test_it_speaks_to_those_who_cannot_see_it() -> None:
    root = ET.fromstring(svg(SHOWN))
    assert root.get("role") == "img"
    title, description = root.find("s:title", NAMESPACE), root.find("s:desc", NAMESPACE)
    assert title is not None
    assert title.text == "lost INIT: CPU#1"
    assert description is not None
    assert "CPU#1 at the reset vector" in (description.text or "")


def test_its_title_is_said_once_and_not_in_the_picture() -> None:
    assert svg(SHOWN).count("lost INIT: CPU#1") == 1
    assert not any("lost INIT" in word for word in texts(svg(SHOWN)))


def test_the_close_up_has_an_axis_in_microseconds() -> None:
    """From 0.4998 to 0.5001 s, and a margin."""
    assert [word for word in texts(svg(SHOWN)) if word.endswith(" µs")] == ["0 µs", "100 µs", "200 µs", "300 µs"]


def test_it_asks_for_nothing_and_knows_the_dark() -> None:
    document = svg(SHOWN)
    assert "prefers-color-scheme:dark" in document
    for word in ("href", "url(", "@import", "<script", "http"):
        assert word not in document.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_what_qemu_said_cannot_become_markup() -> None:
    document = svg(replace(SHOWN, title='<script>"&\x1b[31m', milestones=(("</text><a>", 0.1),)))
    assert "<script" not in document
    ET.fromstring(document)


@pytest.mark.parametrize("flicker", [1, 512, 20_000])
def test_it_stays_small_whatever_it_shows(flicker: int) -> None:
    spans = tuple(Span(i / flicker, (i + 1) / flicker, (RUNNING, SPINNING)[i % 2]) for i in range(flicker))
    worst = replace(
        SHOWN,
        lanes=tuple(Lane(f"CPU#{i}", spans) for i in range(16)),
        commands=tuple(i / 100_000 for i in range(4096)),
        moment=Moment(0.4999, 0.5, tuple(HeldWindow(i, 0.4998, 0.5001) for i in range(16))),
    )
    document = svg(worst)
    assert len(document.encode()) < 60_000
    ET.fromstring(document)


@pytest.mark.parametrize(
    "bare",
    [
        Timeline("crash", (), 0.0),
        Timeline("x", (Lane("CPU#0", ()),), 1.0),
        replace(SHOWN, moment=Moment(None, 0.5)),
        replace(SHOWN, lanes=(Lane("CPU#0", (Span(1.0, 1.0, RUNNING),)),)),  # one dump
    ],
)
def test_little_evidence_is_a_picture_too(bare: Timeline) -> None:
    ET.fromstring(svg(bare))


def test_the_moment_of_the_race_comes_from_the_window_log() -> None:
    moment = moment_of(RACE, 0)
    assert moment is not None
    assert moment.upper_s == pytest.approx(0.00015)
    last = moment.windows[-1]
    assert last.vcpu == 1
    assert [last.read_s, last.written_s] == pytest.approx([0.0001, 0.0002])
    assert moment_of(Log(), 0) is None


def test_of_many_windows_those_that_cover_the_init_are_kept() -> None:
    grazing = [record for vcpu in range(3, 40) for record in look(vcpu, 140, 151)]
    moment = moment_of(log(*grazing, *look(2, 10, 20), *look(1, 100, 200), (150, 2, RecordKind.WOKEN, 0)), 0)
    assert moment is not None
    assert len(moment.windows) == 16
    assert 1 in {window.vcpu for window in moment.windows}


def test_it_is_drawn_from_the_evidence_alone_also_when_that_was_read_back() -> None:
    dumps = [seen(running(0), at_reset(1), at_s=0.2), seen(running(0), at_reset(1), at_s=0.9)]
    notes = {
        "milestones_s": {"pci": 0.4, "banner": 0.1}, "looks_s": [0.9], **facts(dumps, RACE, zero_ns=0, end_s=1.0),
    }  # fmt: skip
    commands: tuple[dict[str, object], ...] = ({"sent_s": 0.2, "replied_s": 0.3}, {"sent_s": 0.1}, {"other": 1})
    found = replace(result(trial(), Outcome.HANG), verdict=LOST)
    drawn = of(found, Evidence(notes=notes, commands=commands))
    assert drawn.milestones == (("banner", 0.1), ("pci", 0.4))
    assert drawn.commands == (0.1, 0.2)
    assert [(lane.name, lane.last) for lane in drawn.lanes] == [("CPU#0", SPINNING), ("CPU#1", RESET_VECTOR)]
    assert drawn.moment is not None
    assert of(found, Evidence(notes=json.loads(json.dumps(notes)), commands=commands)) == drawn


def test_evidence_without_notes_gives_an_empty_picture() -> None:
    drawn = of(result(trial(), Outcome.CRASH), Evidence(dumps=((2.5, "x"),)))
    assert (drawn.lanes, drawn.moment, drawn.end_s) == ((), None, 2.5)
    ET.fromstring(svg(drawn))
