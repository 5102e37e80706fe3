"""The metrics of ``qstress watch`` (docs/reference.md, "Metrics"): what the last look showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from qstress.errors import RigError
from qstress.metrics.families import Collected
from qstress.verdict.outside import GuestState


def watch_families(states: Sequence[GuestState], hangs: int, looked_at_s: float) -> Iterator[Metric]:
    """Yield every metric family.

    :param states: what each guest shows now.
    :param hangs: how many were found hung since the watch began.
    :param looked_at_s: when they were looked at, in Unix seconds.
    """
    guests = GaugeMetricFamily(
        "qstress_watched_guests", "QEMU guests of this host, by what they show from outside.", labels=("state",)
    )
    for state in GuestState:
        guests.add_metric([str(state)], states.count(state))
    yield guests
    yield CounterMetricFamily("qstress_watch_hangs", "Guests found hung since the watch began.", value=hangs)
    yield GaugeMetricFamily(
        "qstress_watch_last_look_timestamp_seconds", "When all guests were looked at last.", value=looked_at_s
    )


def write_watch_textfile(path: Path, states: Sequence[GuestState], hangs: int, looked_at_s: float) -> None:
    """Replace the file *path*, which node_exporter reads.

    :raises RigError: it cannot be written.
    """
    try:
        write_to_textfile(str(path), Collected(watch_families(states, hangs, looked_at_s)))
    except OSError as error:
        raise RigError(f"{path}: {error.strerror or error}", reason="metrics") from error
