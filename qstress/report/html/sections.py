"""The sections of a report below its figures: findings, cells, builds, host, and what was not tested."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from qstress.model import Accel, Milestone, Outcome, Tier
from qstress.report.html.labels import Labels
from qstress.report.html.markup import Content, Markup, join, tag
from qstress.report.html.run import Shown
from qstress.report.html.tables import Table, table
from qstress.report.summary import repro_line
from qstress.report.wording import duration, per_s, rate, shape_text
from qstress.stats.cells import CellTally
from qstress.stats.tally import Finding

#: More findings than this are in summary.json only; pictures and stories stay within so many bytes together.
FINDINGS_MAX = 20
PICTURE_BYTES, STORY_CHARS, ALL_PICTURES_BYTES = 80_000, 4_000, 200_000


def findings(run: Shown) -> Markup:
    """Return each kind of finding: what it is, how often, its picture, and the line that runs it again."""
    kinds = run.tally.findings
    if not kinds:
        return tag("p", "None.")
    left = ALL_PICTURES_BYTES
    parts: list[Markup] = []
    for finding in kinds[:FINDINGS_MAX]:
        svg = run.pictures.get(finding.evidence, "")
        size = len(svg.encode())
        if size > min(left, PICTURE_BYTES):
            svg = ""
        left -= len(svg.encode())
        parts.append(_finding(finding, run, svg))
    if len(kinds) > FINDINGS_MAX:
        parts.append(tag("p", f"and {len(kinds) - FINDINGS_MAX} more kinds: see summary.json", class_="more"))
    return join(parts)


def _finding(finding: Finding, run: Shown, svg: str) -> Markup:
    stratum = finding.cell.stratum
    where = Labels(run.tally).stratum(stratum) or f"smp {stratum.shape.smp}"
    seen = "seen once" if finding.count == 1 else f"seen {finding.count} times"
    if finding.uncounted:
        seen += f", {finding.uncounted} of them in no rate: the block was not finished"
    picture, story = None, run.stories.get(finding.evidence, "")[:STORY_CHARS]
    if svg:
        source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
        name = f"Timeline: {finding.finding_class}, {finding.cell.build.name}, {where}"
        picture = tag(
            "figure", tag("img", src=source, alt=name), tag("figcaption", name, class_="hidden"), aria_label=name
        )
    line = repro_line(finding, run.facts)
    return tag(
        "article",
        tag("h3", tag("span", finding.finding_class, class_="class"), " ", finding.title),
        tag("p", f"{finding.cell.build.name}, {where}, {seen}. ", tag("span", finding.signature, class_="dim")),
        picture,
        tag("details", tag("summary", "What happened"), tag("pre", Markup(_lines(story)))) if story else None,
        tag("pre", tag("code", line), class_="command") if line else tag("p", "No evidence was kept.", class_="dim"),
    )


def _lines(words: str) -> str:
    return "\n".join(join(line) for line in words.splitlines())


def cells(run: Shown) -> Markup:
    """Return everything that was counted of each cell."""
    rows = [_cell(cell) for cell in run.tally.cells]
    columns = (
        "build", "cell", "counted", "hung or restarted", "other", "not counted", "commands/s", "D", "boot p50", "p99"
    )  # fmt: skip
    return table(Table(columns, rows, frozenset({0, 1})), "All cells")


def _cell(cell: CellTally) -> tuple[Content, ...]:
    p50, p99 = cell.boot.quantile(0.5), cell.boot.quantile(0.99)
    return (
        cell.cell.build.name,
        shape_text(cell.cell),
        f"{cell.n:,}",
        rate(cell.hangs, cell.n, dispersion=cell.hang_dispersion),
        cell.found(None) - cell.hangs,
        cell.outcomes[Outcome.RIG] + cell.outcomes[Outcome.UNKNOWN],
        per_s(cell.sent / cell.hammered_s) if cell.hammered_s else "",
        "" if cell.duty_cycle is None else f"{cell.duty_cycle:.2g}",
        "" if p50 is None else duration(p50),
        "" if p99 is None else duration(p99),
    )


def builds(run: Shown) -> Markup:
    """Return what ran: each QEMU, what it is made of, and what was done to it."""
    return join(
        tag("div", tag("h3", build.name), _facts(dict(_build(run, build.name))), class_="facts")
        for build in run.settings.builds
    )


def _build(run: Shown, name: str) -> Iterator[tuple[str, Content]]:
    build = next(build for build in run.settings.builds if build.name == name)
    yield "binary", build.binary
    yield "version", f"QEMU {build.version}"
    yield "sha256", build.sha256
    made = run.builds.get(name, {}).get("provenance")
    if isinstance(made, Mapping):
        source = made.get("source") or {}
        yield "built from", ", ".join(str(source[key]) for key in ("version", "commit", "package") if source.get(key))
        patches = made.get("patches") or []
        yield (
            "patches",
            "; ".join(f"{p.get('subject') or p.get('file')} (sha256 {p.get('sha256')})" for p in patches) or "none",
        )
        yield "configure", str(made.get("configure", ""))
        yield "compiler", str(made.get("compiler", ""))
    yield "arguments", " ".join(build.args) or None
    yield "environment", " ".join(f"{key}={value}" for key, value in build.env) or None
    yield "SMM", build.smm
    yield "fix", "imitated by the interposer; this is no patched QEMU" if build.fix_imitated else None
    held = {"before the write-back": build.hold_write_s, "before the read": build.hold_read_s}
    yield "held", ", ".join(f"{1e3 * seconds:g} ms {when}" for when, seconds in held.items() if seconds) or None
    yield (
        "injected",
        f"one AP is lost in {100 * build.lost_ap_share:g} % of the trials" if build.lost_ap_share else None,
    )


def host(run: Shown) -> Markup:
    """Return where it ran, and by what plan."""
    facts, settings = run.facts, run.settings
    kvm = facts.host.get("kvm")
    usable = isinstance(kvm, Mapping) and kvm.get("usable")
    nested = {True: ", nested", False: ", not nested", None: ""}[facts.nested]
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
            "kernel": _plain(facts.host.get("kernel")),
            "processor": _plain(facts.host.get("cpu")),
            "cores": _plain(facts.host.get("cores")),
            "memory": f"{memory / 2**30:.1f} GiB" if isinstance(memory, int) else None,
            "KVM": f"{facts.kvm or 'other'}{nested}"
            if usable
            else f"not used: {kvm.get('reason')}"
            if isinstance(kvm, Mapping)
            else None,
            "kernel log": _kernel_log(run.host_log),
            "accelerator": settings.accel_note,
        }
    )


def _kernel_log(log: Mapping[str, Any]) -> str | None:
    if not log:
        return None
    complaints = sum(report["count"] for report in log["reports"])
    said = f"{complaints} complaints" if complaints else "quiet"
    return f"{said}, {log['records']} records" if log["read"] else f"not read: {log['problem']}"


def not_tested(run: Shown) -> Markup:
    """Return what a reader might take for granted and must not."""
    return tag("ul", [tag("li", line) for line in _gaps(run)])


def _gaps(run: Shown) -> Iterator[str]:
    tally, settings = run.tally, run.settings
    shapes = [stratum.shape for stratum in settings.strata]
    if empty := [cell for cell in tally.cells if not cell.n]:
        yield f"{len(empty)} of {len(tally.cells)} cells have no valid trial, the first: {shape_text(empty[0].cell)}"
    if settings.stop_trials and run.trials < settings.stop_trials and run.facts.reason != "decided":
        yield f"{settings.stop_trials - run.trials:,} of {settings.stop_trials:,} planned trials did not run"
    tiers = sorted({cell.cell.tier for cell in tally.cells})
    if Tier.T0 not in tiers:
        yield f"production: every number is of tier {', '.join(tiers)}; none is a rate that production sees"
    if all(shape.accel is Accel.TCG for shape in shapes):
        yield "the race itself: it cannot occur under TCG"
    sizes = ", ".join(str(smp) for smp in sorted({shape.smp for shape in shapes}))
    machines = ", ".join(dict.fromkeys(shape.machine for shape in shapes))
    firmware = ", ".join(dict.fromkeys(shape.firmware for shape in shapes))
    yield f"any guest but {machines} with {sizes} vCPUs and {firmware}"
    if all(hammer.until <= Milestone.BOOT for stratum in settings.strata for hammer in stratum.hammers):
        yield "an operating system: no guest got further than its firmware"
    yield "any host but this one"


def _facts(facts: Mapping[str, Content]) -> Markup:
    """Return names with what is known of them; what is None is left out."""
    pairs = [(tag("dt", name), tag("dd", value)) for name, value in facts.items() if value is not None]
    return tag("dl", [part for pair in pairs for part in pair])


def _plain(value: object) -> str | None:
    return None if value is None else str(value)
