from __future__ import annotations

from typing import Any

import pytest

from qstress.hostlog.lines import is_loud, kernel_log_lines

QUIET: dict[str, Any] = {
    "read": True, "problem": "", "records": 7, "overruns": 0, "lost": 0, "torn": 0, "reports": [],
}  # fmt: skip
REPORT = {"title": "WARNING in kvm_x", "kind": "warning", "count": 3, "trials": [1], "confidence": "likely"}


@pytest.mark.parametrize(
    ("log", "lines", "loud"),
    [
        ({}, ["host kernel log: quiet, 7 records"], False),
        (
            {"reports": [REPORT]},
            ["host kernel log: 1 complaint(s), 7 records", "  3x WARNING in kvm_x (likely)"],
            True,
        ),
        (
            {"lost": 9, "overruns": 2},
            [
                "host kernel log: quiet, 7 records",
                "host kernel log: 9 records lost (2 overruns), 0 torn: a report may have been missed",
            ],
            False,
        ),
        (
            {"problem": "no right", "records": 0},
            ["HOST KERNEL LOG NOT READ: no right: what the kernel complained of may have gone unseen"],
            True,
        ),
        (
            {"problem": "cut off"},
            ["HOST KERNEL LOG READ IN PART ONLY: cut off: what the kernel complained of may have gone unseen"],
            True,
        ),
    ],
)
def test_what_the_kernel_said_in_lines(log: dict[str, Any], lines: list[str], loud: bool) -> None:
    assert kernel_log_lines({**QUIET, **log}) == lines
    assert is_loud({**QUIET, **log}) is loud
