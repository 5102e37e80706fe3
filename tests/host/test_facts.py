from __future__ import annotations

import json
import os

from qstress.host.facts import host_facts
from tests.conftest import KVM


def test_they_are_plain_values_that_say_on_what_the_numbers_were_made() -> None:
    facts = json.loads(json.dumps(host_facts(KVM)))
    assert facts["cores"] == len(os.sched_getaffinity(0))
    assert facts["kernel"] == os.uname().release
    assert facts["kvm"]["usable"] is KVM.usable
    assert facts["memory_bytes"] > 1 << 20
