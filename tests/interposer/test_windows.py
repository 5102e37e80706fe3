"""The window log, read: garbage, turns of the ring, pairing, duty cycle, and the two causal lines."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qstress.interposer.windows import (
    HEADER,
    MAGIC,
    RECORD,
    RECORDS,
    Log,
    LogRecord,
    RecordKind,
    Window,
    WriteBack,
    bringup_began_ns,
    causal_line,
    duty_cycle,
    init_bracket,
    read_log,
    windows,
    write_back,
)

RUNNABLE, UNINITIALIZED, INIT_RECEIVED = 0, 1, 2
RESET_VECTOR = 0xFFF0_F000 << 16


def packed(number: int, record: LogRecord, **spoil: int) -> bytes:
    """One record as ``interpose.c`` writes it."""
    what = (number & 0xFFFFFFFF) << 32 | record.kind << 16 | record.vcpu
    check = (5 * what + 3 * record.value + record.ns) % 2**64
    fields = {"what": what, "ns": record.ns, "value": record.value, "check": check, **spoil}
    return RECORD.pack(*fields.values())


def memory(head: int, *records: bytes) -> bytes:
    """The log's memory with *records* in its first places."""
    return HEADER.pack(MAGIC, 0, 0, 0, 0, head, 0, 0, 0, 0) + b"".join(records)


def some(number: int) -> LogRecord:
    return LogRecord(1000 * number, 1, RecordKind.READ, 0)


def log(*records: tuple[int, int, RecordKind, int]) -> Log:
    """A log of (us, vCPU, kind, value), in order of time."""
    made = [LogRecord(us * 1000, vcpu, kind, value) for us, vcpu, kind, value in records]
    return Log(tuple(sorted(made, key=lambda record: record.ns)), len(made))


def look(vcpu: int, read_us: int, written_us: int, flags: int = 8, *, latched: int = 0, mp: int = 1,
         where: int = 0) -> list[tuple[int, int, RecordKind, int]]:  # fmt: skip
    """One window with all its records."""
    return [
        (read_us, vcpu, RecordKind.READ, latched),
        (read_us + 1, vcpu, RecordKind.MP_STATE, mp),
        (written_us, vcpu, RecordKind.WRITE, flags | flags << 8 | where),
        (written_us + 1, vcpu, RecordKind.RUN, 0),
    ]


class TestReadLog:
    def test_in_order_of_time(self) -> None:
        records = [
            LogRecord(30, 2, RecordKind.RUN, 0),
            LogRecord(10, 1, RecordKind.WRITE, 2**64 - 1),
            LogRecord(20, 0, RecordKind.HELD, 1),
        ]
        data = memory(3, *(packed(i, record) for i, record in enumerate(records, 1)))
        assert read_log(data) == Log((records[1], records[2], records[0]), head=3)

    def test_from_where_the_last_one_ended(self) -> None:
        data = memory(3, *(packed(i, some(i)) for i in (1, 2, 3)))
        assert read_log(data, since=2) == Log((some(3),), head=3)
        assert read_log(data, since=3) == Log((), head=3)
        assert read_log(data, since=9) == Log((), head=3)

    @pytest.mark.parametrize("spoil", [{"ns": 5}, {"value": 5}, {"check": 5}, {"what": 2 << 32 | 1}, {"what": 0}])
    def test_what_does_not_add_up_is_torn(self, spoil: dict[str, int]) -> None:
        data = memory(3, packed(1, some(1)), packed(2, some(2), **spoil), packed(3, some(3)))
        assert read_log(data) == Log((some(1), some(3)), head=3, torn=1)

    def test_a_record_of_another_turn_or_of_no_known_kind_is_torn(self) -> None:
        strange = packed(2, LogRecord(1, 1, 77, 0))  # type: ignore[arg-type]
        data = memory(3, packed(1 + RECORDS, some(1)), strange, packed(3, some(3)))
        assert read_log(data) == Log((some(3),), head=3, torn=2)

    def test_the_oldest_are_overwritten(self) -> None:
        head = RECORDS + 2
        places = [packed(RECORDS + 1, some(1)), packed(RECORDS + 2, some(2)), packed(3, some(3))]
        seen = read_log(memory(head, *places))
        assert (seen.overwritten, seen.torn) == (2, RECORDS - 3)
        assert seen.records == (some(1), some(2), some(3))
        assert read_log(memory(head, *places), since=RECORDS + 1) == Log((some(2),), head=head)

    @settings(deadline=None)
    @given(st.binary(max_size=400), st.integers(-5, 2**65), st.booleans(), st.integers(0, 200))
    def test_never_raises(self, junk: bytes, since: int, begins_well: bool, head: int) -> None:
        data = memory(head, junk) if begins_well else junk
        seen = read_log(data, since)
        assert seen.torn >= 0
        assert seen.overwritten >= 0
        windows(seen)

    def test_an_absurd_head(self) -> None:
        assert read_log(memory(2**64 - 1)).torn == RECORDS
        assert read_log(b"qstrlog1" + bytes(100)) == Log()


RECORDS_OF_ANYTHING = st.lists(
    st.builds(LogRecord, st.integers(0, 60), st.integers(0, 3), st.sampled_from(RecordKind), st.integers(0, 2**64 - 1) |
              st.sampled_from([0, 1, 0x808, 0x909, RESET_VECTOR | 0x808])), max_size=40,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS_OF_ANYTHING, st.integers(-10, 70), st.integers(-2, 4))
def test_nothing_in_a_log_raises(records: list[LogRecord], zero_ns: int, vcpu: int) -> None:
    made = Log(tuple(sorted(records, key=lambda record: record.ns)), len(records))
    line = causal_line(made, vcpu, zero_ns)
    assert line is None or f"AP {vcpu} was read" in line
    init_bracket(made, zero_ns)
    assert 0.0 <= duty_cycle(windows(made), zero_ns, 50) <= 1.0


class TestWindows:
    def test_pairs_each_vcpus_own(self) -> None:
        seen = windows(log(*look(1, 10, 50), *look(2, 20, 40, 9), *look(1, 60, 70, latched=1, mp=0)))
        assert seen == (
            Window(1, 10_000, False, 1, WriteBack(50_000, 8, 8, 0, 0)),
            Window(2, 20_000, False, 1, WriteBack(40_000, 9, 9, 0, 0)),
            Window(1, 60_000, True, 0, WriteBack(70_000, 8, 8, 0, 0)),
        )
        assert seen[0].written is not None
        assert seen[0].written.at_runtime
        assert seen[1].written is not None
        assert not seen[1].written.at_runtime

    def test_open_ones_stay_open(self) -> None:
        seen = windows(log((1, 1, RecordKind.READ, 0), (2, 2, RecordKind.RUN, 0), (3, 1, RecordKind.READ, 0x101)))
        assert seen == (Window(1, 1000, False), Window(1, 3000, True))

    def test_what_comes_after_the_write_back_changes_nothing(self) -> None:
        late = [(60, 1, RecordKind.MP_STATE, 3), (61, 1, RecordKind.WRITE, 0xFFFF)]
        (window,) = windows(log(*look(1, 10, 50)[:3], *late, (70, 1, RecordKind.RUN, 0), (71, 1, RecordKind.RUN, 0)))
        assert window == Window(1, 10_000, False, 1, WriteBack(50_000, 8, 8, 0, 0))

    def test_a_write_back_unpacked(self) -> None:
        written = write_back(LogRecord(7, 1, RecordKind.WRITE, 0x0000_FFF0_F000_0438))
        assert written == WriteBack(7, 0x38, 4, 0xF000, 0xFFF0)
        assert written.at_reset_vector


class TestDutyCycle:
    def test_is_the_union_of_the_aps_windows(self) -> None:
        seen = windows(log(*look(1, 10, 30), *look(2, 20, 40), *look(3, 25, 28), *look(1, 60, 70)))
        assert duty_cycle(seen, 0, 100_000) == pytest.approx(0.4)
        assert duty_cycle(seen, 20_000, 65_000) == pytest.approx(25 / 45)

    def test_without_the_boot_cpu_and_resets_and_time(self) -> None:
        seen = windows(log(*look(0, 10, 30), *look(1, 10, 30, flags=9)))
        assert duty_cycle(seen, 0, 100_000) == 0.0
        assert duty_cycle(windows(log(*look(1, 10, 30))), 20_000, 20_000) == 0.0

    def test_an_open_window_lasts(self) -> None:
        assert duty_cycle([Window(1, 50_000, False)], 0, 100_000) == pytest.approx(0.5)


#: AP 1 lost its INIT between 1005 and 1050 us, AP 2 had it, AP 3 was woken by it at 1080.
LOST = [
    *look(1, 100, 160), *look(2, 110, 170), *look(1, 1000, 1063), *look(2, 1004, 1009), (1080, 3, RecordKind.WOKEN, 0),
    *look(2, 1100, 1150, mp=RUNNABLE), *look(1, 1200, 1250),
]  # fmt: skip


class TestCausalLine:
    def test_of_a_lost_init(self) -> None:
        assert causal_line(log(*LOST), 1, 0) == (
            "AP 1 was read at 0.001000 s and written back at 0.001063 s with flags 0x8; INIT was sent between "
            "0.001005 s (AP 2 still waited for it) and 0.001080 s (AP 3 was woken by INIT or SIPI)"
        )

    def test_counts_from_zero_and_knows_of_nothing_before(self) -> None:
        line = causal_line(log(*LOST), 1, 900_000)
        assert line is not None
        assert line.startswith("AP 1 was read at 0.000100 s")
        assert "0.000105 s (AP 2 still" in line
        alone = causal_line(log(*(record for record in LOST if record[1] != 2)), 1, 900_000)
        assert alone is not None
        assert "between 0.000000 s (no AP was read before) and" in alone

    def test_not_of_those_that_came_up(self) -> None:
        assert causal_line(log(*LOST), 0, 0) is None
        assert causal_line(log(*LOST), 2, 0) is None
        assert causal_line(log(*LOST), 3, 0) is None
        assert causal_line(log(*LOST), 9, 0) is None

    def test_not_of_one_that_nobody_looked_at_since(self) -> None:
        assert causal_line(log(*LOST[:-4]), 1, 0) is None
        assert causal_line(log(*LOST, (1300, 1, RecordKind.WOKEN, 0)), 1, 0) is None

    def test_not_without_the_smm_part(self) -> None:
        guarded = [(us, vcpu, kind, 0x408 if kind is RecordKind.WRITE else value) for us, vcpu, kind, value in LOST]
        assert causal_line(log(*guarded), 1, 0) is None

    def test_not_of_a_window_that_was_over_before(self) -> None:
        elsewhere = [record for record in LOST if not (record[1] == 1 and 1000 <= record[0] < 1100)]
        assert causal_line(log(*elsewhere), 1, 0) is None

    def test_says_when_several_windows_may_have_done_it(self) -> None:
        line = causal_line(log(*LOST, *look(1, 1070, 1074)), 1, 0)
        assert line is not None
        assert "written back at 0.001063 s with flags 0x8 (the longest of 2 windows in question)" in line

    def test_a_lost_ap_is_no_witness(self) -> None:
        """It looks as if INIT had not been sent: only those at which it arrived tell the time."""
        assert init_bracket(log(*LOST, *look(1, 1071, 1075)), 0) == init_bracket(log(*LOST), 0)

    def test_where_no_other_ap_tells_the_time(self) -> None:
        alone = [record for record in LOST if record[1] == 1]
        assert init_bracket(log(*alone), 0) is None
        assert causal_line(log(*alone), 1, 0) == (
            "AP 1 was read 3 times without having had an INIT, and written back with flags 0x8; "
            "no other AP shows when INIT was sent"
        )

    def test_only_the_last_bring_up_counts(self) -> None:
        reset = [(2000, vcpu, RecordKind.WRITE, 0x0909) for vcpu in range(4)]
        assert causal_line(log(*LOST, *reset, *look(1, 2100, 2150, mp=RUNNABLE)), 1, 0) is None
        again = [(us + 3000, *rest) for us, *rest in LOST]
        line = causal_line(log(*LOST, *reset, *again), 1, 0)  # type: ignore[arg-type]
        assert line is not None
        assert "was read at 0.004000 s" in line

    REPLAYED = (*look(1, 100, 110), *look(1, 1000, 1090, latched=1, mp=RUNNABLE, where=RESET_VECTOR))

    def test_of_a_replayed_init(self) -> None:
        expected = (
            "AP 1 was read at 0.001000 s with latched_init=1, then RUNNABLE, "
            "then written back at 0.001090 s at f000:fff0"
        )
        assert causal_line(log(*self.REPLAYED), 1, 0) == expected
        reset = [(2000, vcpu, RecordKind.WRITE, 0x0909) for vcpu in range(4)]
        assert causal_line(log(*self.REPLAYED, *reset, *look(1, 2100, 2110)), 1, 0) == expected  # it rebooted

    @pytest.mark.parametrize(
        "harmless",
        [
            {"latched": 0},
            {"mp": UNINITIALIZED},
            {"mp": INIT_RECEIVED},
            {"where": 0},
            {"where": 0x9A00 << 16},
            {"flags": 9},
        ],
    )
    def test_not_of_what_only_looks_like_it(self, harmless: dict[str, int]) -> None:
        made = {"latched": 1, "mp": RUNNABLE, "where": RESET_VECTOR, **harmless}
        line = causal_line(log(*look(1, 1000, 1090, **made)), 1, 0)
        assert line is None or "f000:fff0" not in line

    def test_a_mp_state_unknown_to_us(self) -> None:
        line = causal_line(log(*look(1, 1000, 1090, latched=1, mp=9, where=RESET_VECTOR)), 1, 0)
        assert line is not None
        assert "then mp_state 9, then" in line


class TestWhereABringUpBegan:
    RESETS = tuple((us, vcpu, RecordKind.WRITE, 0x0909) for us in (500, 2000) for vcpu in range(4))

    def test_at_the_last_reset_of_the_boot_cpu(self) -> None:
        assert bringup_began_ns(log(*self.RESETS, *look(1, 2100, 2110)), 7) == 2_000_000

    def test_or_at_the_last_before_the_first_replay(self) -> None:
        replay = look(1, 1000, 1090, latched=1, mp=RUNNABLE, where=RESET_VECTOR)
        assert bringup_began_ns(log(*self.RESETS, *replay), 7) == 500_000

    def test_or_when_it_is_said_to_where_no_reset_was_seen(self) -> None:
        assert bringup_began_ns(log(*look(1, 100, 110)), 7) == 7
