from __future__ import annotations

import pytest

from qstress.survey.observed import GuestKind, open_vcpus, sending
from tests.survey.samples import AT_RESET, AT_RUNTIME, WITHOUT_SMM, synchronised


def test_a_sending_counts_reads_write_backs_and_resets_of_each_vcpu() -> None:
    records = [*synchronised(0), *synchronised(2, flags=WITHOUT_SMM), *synchronised(3, flags=AT_RESET)]
    made = sending(GuestKind.WAITING, records)
    assert (made.read, made.written, made.reset, made.smm) == ({0: 1, 2: 1, 3: 1}, {0: 1, 2: 1}, {3: 1}, 1)
    assert made.window_s == pytest.approx((500e-9, 500e-9))


def test_what_comes_when_the_guest_goes_on_counts_but_is_no_window_of_a_running_guest() -> None:
    read, _, written, run = synchronised(1, flags=AT_RUNTIME)
    made = sending(GuestKind.STOPPED, [read], [written, run])
    assert (made.read, made.written, made.at_cont, made.window_s) == ({1: 1}, {1: 1}, 1, ())


def test_a_vcpu_stands_open_from_its_read_until_it_runs() -> None:
    records = synchronised(1)
    assert [open_vcpus(records[:count]) for count in range(5)] == [set(), {1}, {1}, {1}, set()]
