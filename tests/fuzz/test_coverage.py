"""What was reached, what was not, and why."""

from __future__ import annotations

import json

from qstress.fuzz.coverage import Coverage, schema_coverage
from qstress.fuzz.protocol import LOST, Digest, Fate
from tests.fuzz.samples import schema


def test_commands_are_counted_by_fate_and_members_only_where_the_shape_was_accepted() -> None:
    coverage = Coverage()
    coverage.count("resize", Digest(Fate.RETURNED), {"size": 1, "on": True})
    coverage.count("resize", Digest(Fate.MISSHAPED, "GenericError: _ is missing"), {"name": ""})
    coverage.count("stop", Digest(Fate.REFUSED))
    coverage.count("cont", Digest(Fate.MISSHAPED, "GenericError: _ is unexpected"))
    coverage.count("quit", LOST)
    reached = schema_coverage(coverage, schema(), never=["system_reset"])
    assert (reached.sent, reached.accepted, reached.members_exercised) == (4, 2, 2)
    assert reached.missing["cont"] == "sent 1 times, last refused with: GenericError: _ is unexpected"
    assert reached.missing["quit"] == "sent 1 times, never answered"
    assert reached.missing["system_reset"] == "its weight is 0"
    assert reached.missing["qom-set"] == "not drawn yet"
    assert "resize" not in reached.missing
    assert "stop" not in reached.missing


def test_an_answer_is_new_once_for_each_command_and_state() -> None:
    coverage, digest = Coverage(), Digest(Fate.RETURNED, "{}")
    assert coverage.new("stop", digest, "running")
    assert not coverage.new("stop", digest, "running")
    assert coverage.new("stop", digest, "paused")
    assert coverage.new("cont", digest, "running")
    assert coverage.new("stop", Digest(Fate.REFUSED, "GenericError: x"), "running")


def test_it_goes_to_disk_and_comes_back() -> None:
    coverage, restored = Coverage(), Coverage()
    coverage.count("resize", Digest(Fate.RETURNED), ("size",))
    coverage.count("resize", Digest(Fate.REFUSED))
    restored.restore(json.loads(json.dumps(coverage.document())))
    assert restored.document() == coverage.document()
    assert restored.commands["resize"].accepted == 2
