from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from qstress.config import units
from qstress.config.checked import one_line
from qstress.model import ChurnSpec, FindingClass, Milestone, Rate

DURATION = "a duration such as 2ms, 30s, 10m or 8h"
SIZE = "a size such as 512K, 32M or 4G"
RATE = "a rate: max, 500/s or every 2ms"
CHURN = "churn: none, 1000/s, or 200 at pci"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100us", 1e-4), ("2ms", 2e-3), ("30s", 30), ("1.5m", 90), ("8h", 28800), ("2d", 172800), ("365d", 31536000)],
)
def test_durations(text: str, seconds: float) -> None:
    assert units.duration_s(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("1M", 2**20), ("1024K", 2**20), ("32M", 2**25), ("16T", 2**44)])
def test_sizes(text: str, size: int) -> None:
    assert units.size_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("max", Rate(None, "max")),
        ("500/s", Rate(0.002, "500/s")),
        ("0.5/s", Rate(2.0, "0.5/s")),
        ("every 2ms", Rate(0.002, "every 2ms")),
        (" every   2ms ", Rate(0.002, "every 2ms")),
        ("every 1h", Rate(3600.0, "every 1h")),
    ],
)
def test_rates(text: str, rate: Rate) -> None:
    assert units.hammer_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("none", None),
        ("1000/s", ChurnSpec("1000/s", rate_hz=1000.0)),
        ("0.5/s", ChurnSpec("0.5/s", rate_hz=0.5)),
        ("200 at pci", ChurnSpec("200 at pci", burst=200, at=(Milestone.PCI,))),
        (
            " 5  at pci+found+pci",
            ChurnSpec("5 at pci+found+pci", burst=5, at=(Milestone.PCI, Milestone.FOUND)),
        ),
    ],
)
def test_churn(text: str, spec: ChurnSpec | None) -> None:
    assert units.churn(text) == spec


def test_a_mix_of_commands_keeps_their_order() -> None:
    assert units.mix({"info registers -a": 8, "info lapic": 1}) == (("info registers -a", 8), ("info lapic", 1))


def test_a_storm_is_short() -> None:
    assert units.storm_s("200ms") == 0.2


def test_settling_may_be_left_out() -> None:
    assert (units.settle_s("5ms"), units.settle_s(0)) == (0.005, 0.0)


def test_the_other_forms() -> None:
    assert units.phase("checkin") is Milestone.CHECKIN
    assert units.canonical_json({"b": [1, None], "a": True}) == '{"a":true,"b":[1,null]}'
    assert units.finding_classes("all") is None
    assert units.finding_classes(["lost-init", "crash"]) == (FindingClass.LOST_INIT, FindingClass.CRASH)
    assert units.finding_classes("lost-init") == (FindingClass.LOST_INIT,)
    assert units.address("127.0.0.1:9797") == ("127.0.0.1", 9797)
    assert units.address("[::1]:0") == ("::1", 0)
    assert units.lanes("auto") is None
    assert units.lanes("3") == 3
    assert units.lanes(units.MAX_LANES) == units.MAX_LANES
    assert one_line("bios.bin") == "bios.bin"


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (units.duration_s, 30, f"30 has no unit; it must be {DURATION}"),
        (units.duration_s, "30", f"'30' has no unit; it must be {DURATION}"),
        (units.duration_s, True, f"true is not {DURATION}"),
        (units.duration_s, "30 s", f"'30 s' is not {DURATION}"),
        (units.duration_s, "-1s", f"'-1s' is not {DURATION}"),
        (units.duration_s, "1s\n", f"'1s\\n' is not {DURATION}"),
        (units.duration_s, "١s", f"'١s' is not {DURATION}"),
        (units.duration_s, None, f"null is not {DURATION}"),
        (units.duration_s, "0s", "'0s' is not above 0 and at most 365d"),
        (units.duration_s, "366d", "'366d' is not above 0 and at most 365d"),
        (units.size_bytes, 32, f"32 has no unit; it must be {SIZE}"),
        (units.size_bytes, "32m", f"'32m' is not {SIZE}"),
        (units.size_bytes, "1.5G", f"'1.5G' is not {SIZE}"),
        (units.size_bytes, "9" * 50 + "M", f"{'9' * 50 + 'M'!r} is not {SIZE}"),
        (units.size_bytes, "1023K", "'1023K' is not from 1M to 16T"),
        (units.size_bytes, "17T", "'17T' is not from 1M to 16T"),
        (units.hammer_rate, 500, f"500 has no unit; it must be {RATE}"),
        (units.hammer_rate, "500/m", f"'500/m' is not {RATE}"),
        (units.hammer_rate, "fast", f"'fast' is not {RATE}"),
        (units.hammer_rate, "every 2", f"'2' has no unit; it must be {DURATION}"),
        (units.hammer_rate, "0/s", "'0/s' is not from one command an hour to 1000000/s"),
        (units.hammer_rate, "2000000/s", "'2000000/s' is not from one command an hour to 1000000/s"),
        (units.hammer_rate, "every 2h", "'every 2h' is not from one command an hour to 1000000/s"),
        (
            units.phase,
            "bannr",
            ("'bannr' is not a phase of a boot: start, banner, pci, checkin, found, boot; did you mean 'banner'?"),
        ),
        (units.phase, 4, "4 is not a phase of a boot: start, banner, pci, checkin, found, boot"),
        (units.churn, 1000, f"1000 has no unit; it must be {CHURN}"),
        (units.churn, "max", f"'max' is not {CHURN}"),
        (units.churn, "0/s", "'0/s' is not above 0 and at most 100000 moves a second"),
        (units.churn, "100001/s", "'100001/s' is not above 0 and at most 100000 moves a second"),
        (units.churn, "0 at pci", "'0 at pci' is not 1 to 100000 moves"),
        (units.churn, "100001 at pci", "'100001 at pci' is not 1 to 100000 moves"),
        (units.storm_s, "201ms", "'201ms' is longer than 200ms"),
        (units.settle_s, "201ms", "'201ms' is longer than 200ms"),
        (units.settle_s, "0ms", "'0ms' is not above 0 and at most 365d"),
        (units.storm_s, "0ms", "'0ms' is not above 0 and at most 365d"),
        (units.mix, ["x"], "a list is not a mapping of commands to weights"),
        (units.mix, {}, "is empty; name at least one command"),
        (units.mix, {"x": 0}, "0 is not a whole number from 1 to 1000"),
        (units.mix, {"x": True}, "true is not a whole number from 1 to 1000"),
        (units.mix, {"x": 1001}, "1001 is not a whole number from 1 to 1000"),
        (units.mix, {"a\nb": 1}, "has more than one line"),
        (units.canonical_json, "{}", "'{}' is not a mapping of a command's arguments"),
        (units.finding_classes, [], "is empty; name at least one class, or write all"),
        (units.finding_classes, ["crash", "crash"], "'crash' is listed twice"),
        (units.address, "9797", "'9797' is not an address such as 127.0.0.1:9797"),
        (units.address, "h:65536", "'h:65536' is not an address such as 127.0.0.1:9797"),
        (units.address, "::1:80", "'::1:80' is not an address such as 127.0.0.1:9797"),
        (units.lanes, 0, "0 is neither auto nor a whole number from 1 to 1024"),
        (units.lanes, 1025, "1025 is neither auto nor a whole number from 1 to 1024"),
        (units.lanes, "04", "'04' is neither auto nor a whole number from 1 to 1024"),
        (units.lanes, True, "true is neither auto nor a whole number from 1 to 1024"),
        (one_line, 5, "5 is not text; put it in quotes"),
    ],
)
def test_what_is_refused(check: Any, value: object, words: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        check(value)
    assert str(caught.value) == words


def test_a_wrong_class_is_named_with_what_it_may_mean() -> None:
    with pytest.raises(PydanticCustomError, match=r"'lost-int' is neither all .*; did you mean 'lost-init'\?"):
        units.finding_classes(["crash", "lost-int"])
    with pytest.raises(PydanticCustomError, match="5 is neither all nor one of: lost-init"):
        units.finding_classes([5])


@settings(deadline=None, max_examples=200, database=None)
@given(
    st.sampled_from(
        [
            units.duration_s,
            units.size_bytes,
            units.hammer_rate,
            units.churn,
            units.phase,
            units.address,
            units.finding_classes,
        ]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text())
    | st.text("0123.eusmhKM/ ")
    | st.from_regex("[0-9]{1,7} at (pci|found|x|\\+){1,4}", fullmatch=True),
)
def test_a_check_gives_a_value_or_refuses(check: Any, value: object) -> None:
    with contextlib.suppress(PydanticCustomError):
        check(value)


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786", "tls://rack-7:8786"])
def test_a_scheduler_on_this_machine_or_with_tls_is_taken(text: str) -> None:
    assert units.scheduler(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp://10.0.0.1:8786", "needs tls://"),
        ("tcp://127.0.0.1.evil.org:1", "needs tls://"),
        ("rack:8786", "is not a scheduler"),
        ("tls://rack", "is not a scheduler"),
        ("tls://rack:99999", "is not a scheduler"),
        (7, "."),
    ],
)
def test_another_one_is_refused(text: object, why: str) -> None:
    with pytest.raises(PydanticCustomError, match=why):
        units.scheduler(text)
