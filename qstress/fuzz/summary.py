"""A session's summary for a person (pure: the document in, text out)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Commands that were not reached and are named.
_NAMED = 12


def summary_text(document: Mapping[str, Any], folder: str) -> str:
    """Return the text for what :meth:`qstress.fuzz.session.Session.document` returned; *folder* is the session's."""
    return "\n".join(_lines(document, folder))


def _lines(document: Mapping[str, Any], folder: str) -> Iterator[str]:
    yield (
        f"{document['guests']} guests, {document['commands']:,} commands in {document['elapsed_s']:.0f} s "
        f"({document['commands_per_s']:,.0f}/s while playing; reducing took {document['reducing_s']:.0f} s)"
    )
    yield from _coverage(document["coverage"])
    yield f"corpus: {document['corpus']} sequences"
    findings = sorted(
        document["findings"], key=lambda finding: (bool(finding["known"] or finding["note"]), finding["kind"])
    )
    yield f"findings: {len(findings)}" + ("" if findings else ", none")
    for finding in findings:
        yield f"  {finding['title']}"
        repeats = f"{finding['shown']}/{finding['tried']}" if finding["tried"] else "not tried"
        yield f"      seen {finding['count']}x, shown again {repeats}, {finding['commands']} command(s):"
        yield f"      {finding['what']}"
        if finding["known"]:
            yield f"      known: {finding['known']}"
        if finding["note"]:
            yield f"      {finding['note']}"
        yield f"      qstress repro {folder}/findings/{finding['folder']}"
    if (log := document.get("host_log")) and log["problem"]:
        yield f"host kernel log not read: {log['problem']}"
    elif log:
        yield f"host kernel log: {len(log['reports'])} complaint(s), {log['records']} records"
    for note, count in document["notes"].items():
        yield f"note, {count}x: {note}"


def _coverage(coverage: Mapping[str, Any]) -> Iterator[str]:
    hmp = [name for name in coverage["by_command"] if name.startswith("hmp ") and name != "hmp (malformed)"]
    yield (
        f"reached {coverage['sent']} of {coverage['commands']} QMP commands, {coverage['accepted']} with arguments of "
        f"an accepted shape, {coverage['members_exercised']} of {coverage['members']} members; {len(hmp)} HMP commands"
    )
    missing = list(coverage["missing"].items())
    for name, why in missing[:_NAMED]:
        yield f"  not accepted yet: {name}: {why}"
    if len(missing) > _NAMED:
        yield f"  and {len(missing) - _NAMED} more, in summary.json"
