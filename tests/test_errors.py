from __future__ import annotations

import pytest

from qstress.errors import ConfigError, GuestError, QstressError, RigError, rig_error_in, rig_errors_alone


def test_three_kinds_by_whose_fault_it_is_and_one_root() -> None:
    for kind in (ConfigError, RigError, GuestError):
        assert issubclass(kind, QstressError)
    assert not issubclass(RigError, GuestError)


def test_a_rig_error_is_found_however_deep() -> None:
    error = RigError("disk full", reason="disk-full")
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert rig_error_in(group) is error
    assert (str(error), error.reason) == ("disk full", "disk-full")


def test_a_rig_error_comes_out_of_groups_by_itself_and_what_else_there_is_as_it_was() -> None:
    error, other = RigError("disk full", reason="disk-full"), ValueError("x")
    with pytest.raises(RigError) as told, rig_errors_alone():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert told.value is error
    mixed = ExceptionGroup("outer", [error, other])
    with pytest.raises(ExceptionGroup) as kept, rig_errors_alone():
        raise mixed
    assert kept.value is mixed
