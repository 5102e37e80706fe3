"""What a report tells beside its verdict and figures: every cell, the builds, run and host, what was not tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qstress.firmware import tier_of
from qstress.model import Accel, Build, Milestone, Tier
from qstress.report import accuracy
from qstress.report.hosts import host_lines
from qstress.report.html.markup import Content, Markup, join, tag
from qstress.report.html.run import Shown
from qstress.report.html.tables import TableData, table
from qstress.report.wording import duration, per_s, rate, shape_text
from qstress.stats.cells import CellTally
from qstress.stats.tally import Tally


def cells(run: Shown) -> Markup:
    """Return everything that was counted of each cell."""
    rows = [_cell(run.tally, cell) for cell in run.tally.cells]
    columns = (
        "build", "cell", "counted", "hung or restarted", "other", "not counted", "commands/s", "D", "boot p50, p99"
    )  # fmt: skip
    return table(TableData(columns, rows, frozenset({0, 1})), "All cells")


def _cell(tally: Tally, cell: CellTally) -> tuple[Content, ...]:
    p50, p99 = cell.boot.quantile(0.5), cell.boot.quantile(0.99)
    return (
        cell.cell.build.name,
        shape_text(cell.cell),
        f"{cell.n:,}",
        rate(cell.hangs, cell.n, dispersion=tally.hang_dispersion([cell])),
        cell.found(None) - cell.hangs,
        cell.trials - cell.n,
        per_s(cell.sent / cell.hammered_s) if cell.hammered_s else "",
        "" if cell.duty_cycle is None else f"{cell.duty_cycle:.2g}",
        "" if p50 is None or p99 is None else f"{duration(p50)}, {duration(p99)}",
    )


def builds(run: Shown) -> Markup:
    """Return what ran: each QEMU, what it is made of, and what was done to it."""
    return join(
        tag("div", tag("h3", build.name), _facts(_build(run, build)), class_="facts") for build in run.settings.builds
    )


def _build(run: Shown, build: Build) -> dict[str, object]:
    held = {"before the write-back": build.hold_write_s, "before the read": build.hold_read_s}
    return {
        "binary": build.binary,
        "version": f"QEMU {build.version}",
        "sha256": build.sha256,
        **_provenance(run.builds.get(build.name, {}).get("provenance")),
        "arguments": " ".join(build.args) or None,
        "environment": " ".join(f"{key}={value}" for key, value in build.env) or None,
        "SMM": build.smm,
        "host": _wording_of(run, build),
        "fix": "imitated by the interposer; this is no patched QEMU" if build.fix_imitated else None,
        "held": ", ".join(f"{1e3 * seconds:g} ms {when}" for when, seconds in held.items() if seconds) or None,
        "injected": f"one AP lost in {100 * build.lost_ap_share:g} % of the trials" if build.lost_ap_share else None,
    }


def _wording_of(run: Shown, build: Build) -> str | None:
    """Return what host *build* stands for, where hosts are compared."""
    return next((host.wording for name, host in run.settings.hosts if name == build.name), None)


def _provenance(made: object) -> dict[str, object]:
    """Return what ``qstress build`` says of a binary that it made."""
    if not isinstance(made, Mapping):
        return {}
    source, patches = made.get("source", {}), made.get("patches", ())
    named = [f"{patch.get('subject') or patch.get('file')} (sha256 {patch.get('sha256')})" for patch in patches]
    return {
        "built from": ", ".join(str(source[key]) for key in ("version", "commit", "package") if source.get(key)),
        "patches": "; ".join(named) or "none",
        "configure": made.get("configure"),
        "compiler": made.get("compiler"),
    }


def host(run: Shown) -> Markup:
    """Return by what plan it ran, and where."""
    facts, settings = run.facts, run.settings
    memory = facts.host.get("memory_bytes")
    stop = [
        f"{settings.stop_trials:,} trials" if settings.stop_trials else "",
        duration(settings.stop_duration_s) if settings.stop_duration_s else "",
        "decided" if settings.stop_decided else "",
    ]
    return _facts(
        {
            "run": facts.run,
            "began": facts.started,
            "ended": f"{facts.finished or 'not yet'} ({facts.reason})",
            "took": duration(run.duration_s),
            "to stop after": " or ".join(filter(None, stop)) or None,
            "lanes": facts.lanes,
            "seed": settings.seed,
            "hosts": " ".join(line.strip() for line in host_lines(run.tally)).removeprefix("hosts: ") or None,
            "kernel": facts.host.get("kernel"),
            "processor": facts.host.get("cpu"),
            "cores": facts.host.get("cores"),
            "memory": f"{memory / 2**30:.1f} GiB" if isinstance(memory, int) else None,
            "KVM": _kvm(run),
            "accelerator": settings.accel_note,
            "kernel log": _kernel_log(run.host_log),
        }
    )


def _kvm(run: Shown) -> str | None:
    kvm = run.facts.host.get("kvm")
    if not isinstance(kvm, Mapping):
        return None
    if not kvm.get("usable"):
        return f"cannot be used: {kvm.get('reason')}"
    nested = {True: ", nested", False: ", not nested", None: ""}[run.facts.nested]
    return f"{run.facts.kvm or 'other'}{nested}"


def _kernel_log(log: Mapping[str, Any]) -> str | None:
    if not log:
        return None
    complaints = sum(report["count"] for report in log["reports"])
    said = f"{complaints} complaints" if complaints else "quiet"
    return f"{said}, {log['records']} records" if log["read"] else f"not read: {log['problem']}"


def not_tested(run: Shown) -> Markup:
    """Return what a reader might take for granted and must not."""
    return tag("ul", [tag("li", line) for line in _gaps(run)])


def trust() -> Markup:
    """Return how often a healthy guest is called hung: a property of this program, measured apart."""
    return tag("ul", [tag("li", sentence) for sentence in accuracy.sentences(accuracy.measured())])


def _gaps(run: Shown) -> Iterator[str]:
    tally, settings = run.tally, run.settings
    shapes = [stratum.shape for stratum in settings.strata]
    if empty := [cell for cell in tally.cells if not cell.n]:
        yield f"{len(empty)} of {len(tally.cells)} cells have no valid trial, the first: {shape_text(empty[0].cell)}"
    if settings.stop_trials and run.tally.trials < settings.stop_trials and run.facts.reason != "decided":
        yield f"{settings.stop_trials - run.tally.trials:,} of {settings.stop_trials:,} planned trials did not run"
    tiers = sorted({tier_of(cell.cell) for cell in tally.cells})
    if Tier.T0 not in tiers:
        yield f"production: every number is of tier {', '.join(tiers)}; none is a rate that production sees"
    if all(shape.accel is Accel.TCG for shape in shapes):
        yield "the race itself: it cannot occur under TCG"
    sizes = ", ".join(str(smp) for smp in sorted({shape.smp for shape in shapes}))
    machines = ", ".join(dict.fromkeys(shape.machine for shape in shapes))
    booted = ", ".join(dict.fromkeys(shape.firmware for shape in shapes))
    yield f"any guest but {machines} with {sizes} vCPUs and {booted}"
    if all(hammer.until <= Milestone.BOOT for stratum in settings.strata for hammer in stratum.hammers):
        yield "an operating system: no guest got further than its firmware"
    yield "any host but these" if len(tally.hosts) > 1 else "any host but this one"


def _facts(facts: Mapping[str, object]) -> Markup:
    """Return names with what is known of them; what is None is left out."""
    pairs = [(tag("dt", name), tag("dd", str(value))) for name, value in facts.items() if value is not None]
    return tag("dl", [part for pair in pairs for part in pair])
