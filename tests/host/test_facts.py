from __future__ import annotations

import json
import os
from pathlib import Path

from qstress.host.facts import emulated_host, host_facts
from tests.conftest import KVM


def test_they_are_plain_values_that_say_on_what_the_numbers_were_made() -> None:
    facts = json.loads(json.dumps(host_facts(KVM)))
    assert facts["cores"] == len(os.sched_getaffinity(0))
    assert facts["kernel"] == os.uname().release
    assert facts["kvm"]["usable"] is KVM.usable
    assert facts["memory_bytes"] > 1 << 20


def test_an_emulated_host_says_what_it_runs_in(tmp_path: Path) -> None:
    place = tmp_path / "about.json"
    assert emulated_host(place) is None
    place.write_text('{"qemu_version": "7.2.22"}')
    assert emulated_host(place) == {"qemu_version": "7.2.22"}
    for damaged in ("{", "[]"):
        place.write_text(damaged)
        assert emulated_host(place) is None
