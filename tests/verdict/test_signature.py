from __future__ import annotations

from qstress.model import FindingClass, Milestone
from qstress.verdict.signature import finding_signature, state_word
from tests.samples import at_reset, running


def test_a_vcpu_in_one_word() -> None:
    assert [state_word(vcpu) for vcpu in (at_reset(1, halted=True), running(0), running(2, halted=True))] == [
        "reset-vector", "running", "halted",
    ]  # fmt: skip


def test_counts_matter_and_ids_and_addresses_do_not() -> None:
    one = finding_signature(FindingClass.LOST_INIT, [running(0, 1), at_reset(1), at_reset(2)], Milestone.PCI)
    same = finding_signature(FindingClass.LOST_INIT, [running(0, 2), at_reset(2), at_reset(3)], Milestone.PCI)
    other = finding_signature(FindingClass.LOST_INIT, [running(0), at_reset(1)], Milestone.PCI)
    assert one == same == "lost-init/pci/reset-vector=2,running=1"
    assert other != one
    assert finding_signature(FindingClass.LOST_INIT, [], Milestone.PCI, "x") == "lost-init/pci/x"
