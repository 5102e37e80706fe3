from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.store.packing import fold, pack, unfold, unpack

naturals = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 1 << 62))


@given(st.lists(naturals))
def test_pack_and_unpack_are_inverse(numbers: list[int]) -> None:
    assert unpack(pack(numbers)) == numbers


@pytest.mark.parametrize("zeros", [1, 15, 127, 128, 1_000_000])
def test_packed_zeros_are_short(zeros: int) -> None:
    packed = pack([0] * zeros)
    assert len(packed) <= 4
    assert unpack(packed) == [0] * zeros


@pytest.mark.parametrize("data", ["80", "00", "050080"])
def test_packed_numbers_that_are_cut_off_are_refused(data: str) -> None:
    with pytest.raises(ValueError, match="cut off"):
        unpack(bytes.fromhex(data))


@given(st.integers())
def test_fold_and_unfold_are_inverse(number: int) -> None:
    assert fold(number) >= 0
    assert unfold(fold(number)) == number


def test_numbers_near_zero_fold_to_small_ones() -> None:
    assert [fold(number) for number in (0, -1, 1, -2, 2)] == [0, 1, 2, 3, 4]
