"""``timeline.svg``: one finding as a picture (values in, SVG out; no script, no request, light and dark).

A lane per vCPU, coloured by what dumps showed it doing; below them a tick for each monitor command, in front of them
the console's milestones and the dumps of the closer look. Where the window log caught the race, a second panel shows it
a thousand times larger: when INIT was sent, as a bracket, and who was being read and written back meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from qstress.interposer.windows import Log, init_bracket, windows
from qstress.model import Evidence, Observation, TrialResult
from qstress.report.html.markup import Markup, join, tag
from qstress.report.html.plot import Scale, line, plot_text
from qstress.report.lanes import HALTED, RESET_VECTOR, RUNNING, SPINNING, STATES, Lane, Span, columns, shown, spans

#: More lanes than this are folded.
LANES_MAX = 16
#: All lanes together have no more spans than this, so that the file stays under 60 kB.
SPANS_MAX = 3000
_LEFT, _RIGHT, _WIDTH, _LANE, _TOP = 84.0, 846.0, 960.0, 20.0, 50.0
_WORDS = {
    RESET_VECTOR: "at the reset vector", RUNNING: "running", SPINNING: "running in a loop", HALTED: "halted",
}  # fmt: skip
_STYLE = """
.qt{--ink:#1b1f24;--mute:#57606a;--page:#fff;--grid:#d0d7de;--lane:#f3f4f6;--reset:#c4390a;--run:#1f6fb4;--spin:#9cc3e6;
--halt:#8b949e;--init:#8a2be2;font:12px system-ui,sans-serif;color:var(--ink);background:var(--page)}
@media(prefers-color-scheme:dark){.qt{--ink:#e6edf3;--mute:#9aa4af;--page:#0d1117;--grid:#30363d;--lane:#1b2129;
--reset:#ff7b54;--run:#58a6ff;--spin:#2b5a86;--halt:#6e7681;--init:#d2a8ff}}
.qt text{fill:var(--ink)}.qt .mute{fill:var(--mute)}.qt .name{font-weight:600}.qt .page{fill:var(--page)}
.qt .lane{fill:var(--lane)}.qt path,.qt line{fill:none;stroke:var(--grid)}.qt .ticks{stroke:var(--mute)}
.qt .dump{stroke:var(--ink);stroke-dasharray:2 3}.qt .init,.qt .bracket{stroke:var(--init)}
.qt .bracket{fill:var(--init);fill-opacity:.3;stroke:none}.qt .reset-vector{stroke:var(--reset);fill:var(--reset)}
.qt .running{stroke:var(--run);fill:var(--run)}.qt .spinning{stroke:var(--spin);fill:var(--spin)}
.qt .halted{stroke:var(--halt);fill:var(--halt)}.qt .held{fill:var(--reset);fill-opacity:.75}
"""


class HeldWindow(NamedTuple):
    """A vCPU between being read and being written back, in seconds."""

    vcpu: int
    read_s: float
    written_s: float


class Moment(NamedTuple):
    """When INIT was sent: not before ``lower_s`` (None: unknown) and not after ``upper_s``; and the windows of APs that
    overlap that time."""

    lower_s: float | None
    upper_s: float
    windows: tuple[HeldWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the picture shows; times in seconds since the guest was told to run.

    ``commands`` are the sending times of monitor commands, ``milestones`` names and times, ``looks_s`` the times of the
    dumps that confirmed, ``end_s`` the verdict's.
    """

    title: str
    lanes: tuple[Lane, ...]
    end_s: float
    commands: tuple[float, ...] = ()
    milestones: tuple[tuple[str, float], ...] = ()
    looks_s: tuple[float, ...] = ()
    moment: Moment | None = None


def facts(observations: Iterable[Observation], log: Log | None, *, zero_ns: int, end_s: float) -> dict[str, object]:
    """Return what a finding's ``notes`` must hold for :func:`of`, as values that JSON can hold.

    :param observations: dumps of this bring-up, oldest first, the closer look's among them; times since *zero_ns*.
    :param log: the window log, if there is one.
    :param zero_ns: when the guest was told to run (CLOCK_MONOTONIC), :param end_s: when the verdict was there.
    """
    moment = None if log is None else moment_of(log, zero_ns)
    return {
        "lanes": spans(observations),
        "end_s": end_s,
        "init": moment and moment._asdict(),
    }


def moment_of(log: Log, zero_ns: int) -> Moment | None:
    """Return when INIT was sent, from the window log, with the APs' windows around it, those that cover most of that
    time where there are many; None where no AP shows that there was one."""
    bracket = init_bracket(log, zero_ns)
    if bracket is None:
        return None
    lower_ns = bracket.upper_ns if bracket.lower_ns is None else bracket.lower_ns
    around = [
        (window.vcpu, window.read_ns, window.written.ns)
        for window in windows(log)
        if window.vcpu > 0 and window.written and window.written.at_runtime
        and window.read_ns <= bracket.upper_ns and window.written.ns >= lower_ns
    ]  # fmt: skip
    around.sort(key=lambda found: max(found[1], lower_ns) - min(found[2], bracket.upper_ns))
    kept = [
        HeldWindow(vcpu, (read - zero_ns) / 1e9, (wrote - zero_ns) / 1e9) for vcpu, read, wrote in around[:LANES_MAX]
    ]
    lower_s = None if bracket.lower_ns is None else (bracket.lower_ns - zero_ns) / 1e9
    return Moment(lower_s, (bracket.upper_ns - zero_ns) / 1e9, tuple(sorted(kept, key=lambda window: window.read_s)))


def of(result: TrialResult, evidence: Evidence) -> Timeline:
    """Return the timeline of a finding, from its evidence; what is missing there is left out."""
    notes: Mapping[str, Any] = evidence.notes
    own = {int(index): tuple(Span(*span) for span in found) for index, found in notes.get("lanes", {}).items()}
    init = notes.get("init")
    moment = init and Moment(init["lower_s"], init["upper_s"], tuple(HeldWindow(*window) for window in init["windows"]))
    sent = [command.get("sent_s") for command in evidence.commands]
    return Timeline(
        title=result.verdict.title,
        lanes=tuple(shown(own, LANES_MAX)),
        end_s=notes.get("end_s") or max([at_s for at_s, _ in evidence.dumps], default=1.0),
        commands=tuple(sorted(at_s for at_s in sent if isinstance(at_s, float))),
        milestones=tuple(sorted(notes.get("milestones_s", {}).items(), key=lambda item: item[1])),
        looks_s=tuple(notes.get("looks_s", ())),
        moment=moment or None,
    )


def svg(timeline: Timeline) -> str:
    """Return *timeline* as an SVG document, under 60 kB. Its title is for tabs and screen readers, not in the picture,
    which stands beside a text that says it."""
    x = Scale(0.0, max(timeline.end_s, 1e-6), _LEFT, _RIGHT)
    top, bottom = _TOP, _TOP + _LANE * len(timeline.lanes)
    parts: list[Markup] = [_milestones(timeline, x, bottom)]
    parts += [_lane(lane, x, top + _LANE * i, timeline) for i, lane in enumerate(timeline.lanes)]
    parts += [line(x(at_s), top - 6, x(at_s), bottom + 4, "dump") for at_s in timeline.looks_s]
    if timeline.moment is not None:
        at = x(timeline.moment.upper_s)
        parts.append(tag("line", x1=at, y1=top - 6, x2=at, y2=bottom + 4, class_="init", stroke_width=2))
    bottom = _below(parts, timeline, x, bottom + 6)
    if timeline.moment is not None:
        bottom = _closeup(parts, timeline.moment, bottom + 16)
    parts.append(_legend(timeline, bottom + 22))
    height = bottom + 40
    return str(
        tag(
            "svg",
            tag("title", timeline.title),
            tag("desc", _described(timeline)),
            tag("style", Markup(_STYLE)),
            tag("rect", width=_WIDTH, height=height, class_="page"),
            *parts,
            xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH:g} {height:g}", role="img", class_="qt",
        )
    )  # fmt: skip


def _milestones(timeline: Timeline, x: Scale, bottom: float) -> Markup:
    """Their names in two rows in turn, since some follow each other closely."""
    parts: list[Markup] = []
    free = [0.0, 0.0]
    for name, at_s in timeline.milestones:
        at = x(at_s)
        row = 0 if at >= free[0] else 1
        parts.append(tag("line", x1=at, y1=_TOP - 30 + 14 * row, x2=at, y2=bottom))
        if at >= free[row]:
            parts.append(plot_text(at + 3, _TOP - 30 + 14 * row, name, kind="mute"))
            free[row] = at + 8 + 7 * len(name)
    return join(parts)


def _lane(lane: Lane, x: Scale, y: float, timeline: Timeline) -> Markup:
    wide = max(1.0, (_RIGHT - _LEFT) * len(timeline.lanes) / SPANS_MAX)
    edges = [x.low + (x.high - x.low) * i * wide / (_RIGHT - _LEFT) for i in range(int((_RIGHT - _LEFT) / wide) + 2)]
    paths: dict[str, str] = {}
    for span in columns(lane.spans, edges) if lane.spans else []:
        width = max(1.0, x(span.to_s) - x(span.from_s))
        paths[span.state] = paths.get(span.state, "") + f"M{x(span.from_s):.0f} {y + 9:.0f}h{width:.0f}"
    return join(
        tag("rect", x=_LEFT, y=y, width=_RIGHT - _LEFT, height=_LANE - 2, class_="lane"),
        plot_text(_LEFT - 8, y + 13, lane.name, anchor="end", kind="name" if lane.last == RESET_VECTOR else ""),
        *(tag("path", d=paths[state], class_=state, stroke_width=_LANE - 4) for state in STATES if state in paths),
        plot_text(
            _RIGHT + 6, y + 13, lane.last.replace("-", " "), kind="name" if lane.last == RESET_VECTOR else "mute"
        ),
    )


def _below(parts: list[Markup], timeline: Timeline, x: Scale, y: float) -> float:
    """Add the commands' ticks, one a pixel, and the axis; return where they end."""
    if timeline.commands:
        pixels = sorted({round(x(at_s)) for at_s in timeline.commands})
        ticks = "".join(f"M{pixel} {y:.0f}v10" for pixel in pixels)
        parts += [
            plot_text(_LEFT - 8, y + 10, "commands", anchor="end", kind="mute"),
            tag("path", d=ticks, class_="ticks"),
        ]
        parts.append(plot_text(_RIGHT + 6, y + 10, f"{len(timeline.commands)} sent", kind="mute"))
        y += 14
    parts.append(tag("line", x1=_LEFT, y1=y, x2=_RIGHT, y2=y))
    for tick in x.ticks:
        parts.append(plot_text(x(tick), y + 14, f"{tick:.6g} s", anchor="middle", kind="mute"))
    return y + 16


def _closeup(parts: list[Markup], moment: Moment, y: float) -> float:
    """Add the panel around the INIT and return where it ends."""
    first_s = moment.upper_s if moment.lower_s is None else moment.lower_s
    begin_s = min([first_s, *(window.read_s for window in moment.windows)])
    end_s = max([moment.upper_s, *(window.written_s for window in moment.windows)])
    margin_s = max(0.05 * (end_s - begin_s), 1e-6)
    x = Scale(begin_s - margin_s, end_s + margin_s, _LEFT, _RIGHT)
    bottom = y + 22 + _LANE * max(1, len(moment.windows))
    width = max(2.0, x(moment.upper_s) - x(first_s))
    parts.append(plot_text(12.0, y + 12, "Around the INIT", kind="name"))
    for i, window in enumerate(moment.windows):
        at = y + 22 + _LANE * i
        parts += [
            tag("rect", x=_LEFT, y=at, width=_RIGHT - _LEFT, height=_LANE - 2, class_="lane"),
            plot_text(_LEFT - 8, at + 13, f"CPU#{window.vcpu}", anchor="end"),
            tag(
                "rect", x=x(window.read_s), y=at + 2, width=max(1.0, x(window.written_s) - x(window.read_s)),
                height=_LANE - 6, class_="held",
            ),
        ]  # fmt: skip
    parts.append(tag("rect", x=x(first_s), y=y + 18, width=width, height=bottom - y - 18, class_="bracket"))
    since = Scale(0.0, 1e6 * (x.high - x.low), _LEFT, _RIGHT)
    parts.append(tag("line", x1=_LEFT, y1=bottom, x2=_RIGHT, y2=bottom))
    for tick in since.ticks:
        parts.append(tag("line", x1=since(tick), y1=bottom, x2=since(tick), y2=bottom + 4))
        parts.append(plot_text(since(tick), bottom + 16, f"{tick:g} µs", anchor="middle", kind="mute"))
    bottom += 18
    says = "INIT was sent in the band" if moment.lower_s is not None else "INIT was sent at the band or before"
    parts.append(plot_text(_LEFT, bottom + 14, f"{says}; bars: read by QEMU, and not yet written back", kind="mute"))
    return bottom + 18


def _legend(timeline: Timeline, y: float) -> Markup:
    parts: list[Markup] = []
    at = _LEFT
    for state in STATES:
        parts += [tag("rect", x=at, y=y - 10, width=14, height=11, class_=state), plot_text(at + 20, y, _WORDS[state])]
        at += 36 + 6.6 * len(_WORDS[state])
    parts += [tag("rect", x=at, y=y - 10, width=14, height=11, class_="lane"), plot_text(at + 20, y, "no dump kept")]
    at += 116
    for kind, words, there in (("dump", "closer look", timeline.looks_s), ("init", "INIT sent", timeline.moment)):
        if there:
            parts += [tag("line", x1=at + 6, y1=y - 11, x2=at + 6, y2=y + 2, class_=kind, stroke_width=2)]
            parts.append(plot_text(at + 16, y, words))
            at += 32 + 6.6 * len(words)
    return join(parts)


def _described(timeline: Timeline) -> str:
    """The picture in words, for those who cannot see it."""
    ends = ", ".join(f"{lane.name} {_WORDS[lane.last]}" for lane in timeline.lanes if lane.last)
    marks = ", ".join(f"{name} at {at_s:.3f} s" for name, at_s in timeline.milestones)
    init = f" INIT was sent at or before {timeline.moment.upper_s:.6f} s." if timeline.moment else ""
    return (
        f"{timeline.end_s:.3f} seconds of one bring-up. At its end: {ends or 'nothing was dumped'}. Console: "
        f"{marks or 'nothing'}. {len(timeline.commands)} monitor commands were sent.{init}"
    )
