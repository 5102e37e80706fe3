"""The hosts of a run that had several: where guests ran, and whether a class depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qstress.model import Host
from qstress.report.wording import percent_up, printable
from qstress.stats.hosts import HostContrast, contrast_hosts
from qstress.stats.tally import Tally

#: More contrasts than this are not listed for people; summary.json has them all.
CONTRASTS_SHOWN = 5


def host_document(host: Host | None, facts: Mapping[str, Any], build: str = "") -> dict[str, object]:
    """Return where guests ran, as ``summary.json`` has it: *host*, of several, else this machine or an emulated host.

    :param facts: what ``run.json`` says of its host, or of its ``hosts``.
    :param build: the name of the cell's build, which is its host's where hosts are compared.
    """
    if host is not None:
        return {"kind": "worker", "name": host.name, "kernel": host.kernel}
    if build in facts.get("hosts", {}):
        return {"kind": "emulated", "name": build, "kernel": str(facts["hosts"][build].get("kernel", "unknown"))}
    kind = "emulated" if facts.get("emulated") else "this"
    return {"kind": kind, "name": kind, "kernel": str(facts.get("kernel", "unknown"))}


def host_contrasts_document(tally: Tally) -> list[dict[str, object]]:
    """Return every host against the others in every class that was seen, as ``summary.json`` has it."""
    return [
        {
            "host": one.host.name,
            "kernel": one.host.kernel,
            "class": one.of_class.value,
            "found": one.table.k_a,
            "trials": one.table.n_a,
            "others_found": one.table.k_b,
            "others_trials": one.table.n_b,
            "p": float(f"{one.p:.6g}"),
        }
        for one in contrast_hosts(tally).each
    ]


def host_lines(tally: Tally) -> list[str]:
    """Return whether a class depends on the host, for a person; nothing where there were fewer than two."""
    contrasts = contrast_hosts(tally)
    names = ", ".join(_name(host) for host in tally.hosts)
    if not contrasts.each:
        return [f"hosts: {names}"] if len(tally.hosts) > 1 else []
    many = f"{len(contrasts.each)} such tests"
    if not contrasts.spoken_of:
        return [f"hosts: {names}: no class is shown to depend on it (smallest p {contrasts.smallest_p:.2g} of {many})"]
    shown = contrasts.spoken_of[:CONTRASTS_SHOWN]
    left_out = len(contrasts.spoken_of) - len(shown)
    lines = [f"hosts: {names}: rates may depend on it (one look, {many}; nothing is decided by it)"]
    lines += [f"  {_contrast_text(one)}" for one in shown]
    return lines + ([f"  and {left_out} more: see summary.json"] if left_out else [])


def _contrast_text(one: HostContrast) -> str:
    k_a, n_a, k_b, n_b = one.table
    shares = [f"{percent_up(k / n)} %" if n else "none" for k, n in ((k_a, n_a), (k_b, n_b))]
    return (
        f"{one.of_class}: {printable(one.host.name)} {k_a}/{n_a} ({shares[0]}), the others {k_b}/{n_b} ({shares[1]}), "
        f"p {one.p:.2g}"
    )


def _name(host: Host) -> str:
    return f"{printable(host.name)} (kernel {printable(host.kernel)})"
