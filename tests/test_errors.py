from __future__ import annotations

from qstress.errors import ConfigError, GuestError, QstressError, RigError, rig_error_in


def test_three_kinds_by_whose_fault_it_is_and_one_root() -> None:
    for kind in (ConfigError, RigError, GuestError):
        assert issubclass(kind, QstressError)
    assert not issubclass(RigError, GuestError)


def test_a_rig_error_is_found_however_deep() -> None:
    error = RigError("disk full", reason="disk-full")
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert rig_error_in(group) is error
    assert (str(error), error.reason) == ("disk full", "disk-full")
