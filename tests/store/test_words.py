from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import Confidence, FindingClass, Outcome, Verdict
from qstress.store import words
from tests.store.samples import LOST_INIT, NO_QEMU

verdicts = st.builds(
    Verdict,
    outcome=st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.OK]),
    title=st.text(),
    finding_class=st.none() | st.sampled_from(FindingClass),
    signature=st.text(),
    confidence=st.sampled_from(Confidence),
    because=st.lists(st.text()).map(tuple),
)


@given(verdicts, st.text())
def test_a_verdict_comes_back_whole(said: Verdict, rig_reason: str) -> None:
    kind = words.kind_of(said, rig_reason)
    assert words.verdict_of(kind, words.pack_reasons(said.because)) == said
    assert kind[-1] == rig_reason


def test_verdicts_are_of_a_kind_if_they_differ_in_reasons_only() -> None:
    assert words.kind_of(LOST_INIT, "") == words.kind_of(replace(LOST_INIT, because=()), "")
    assert words.kind_of(NO_QEMU, "a") != words.kind_of(NO_QEMU, "b")


def test_reasons_as_qstress_gives_them_take_a_third_of_their_text() -> None:
    because = (
        "CPU#3 at EIP=0000fff0 CS=f000 base ffff0000 in two dumps taken after hammering had stopped",
        "the console is silent since 'handle_smp: apic_id=0x1' and never said Found",
        "CPU time in the 0.32 s between the dumps: CPU#0 97 %, CPU#1 0 %, CPU#2 0 %, CPU#3 0 %",
        "CPU#0 is in its firmware's wait loop: it waits for 4 vCPUs and has 2",
        "AP 3 was read at 0.369071 s and written back at 0.369198 s with flags 0x38",
    )
    assert len(words.pack_reasons(because)) < len(json.dumps(because)) / 3


@pytest.mark.parametrize(
    ("kind", "because", "told"),
    [
        (("odd", "", "", "", "certain", ""), b"", "odd"),
        (("hang", "odd", "", "", "certain", ""), b"", "odd"),
        (("hang", "", "", "", "certain", ""), b"\xff", "cannot be unpacked"),
        (("hang", "", "", "", "certain", ""), words.pack_reasons(("a", "b"))[:-1], "cut off"),
    ],
)
def test_damage_is_refused(kind: words.Kind, because: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        words.verdict_of(kind, because)
