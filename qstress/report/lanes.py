"""What each vCPU did over the time of a bring-up, from its dumps, in no more spans than a picture needs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qstress.model import Observation, VcpuState

#: States in the words of ``verdict.signature``, and one more: a vCPU that many looks in a row find within a few bytes.
RESET_VECTOR, RUNNING, HALTED, SPINNING = "reset-vector", "running", "halted", "spinning"
STATES = (RESET_VECTOR, RUNNING, SPINNING, HALTED)
_LOOP_BYTES, _LOOP_LOOKS, _LOOP_S = 256, 6, 0.1


class Span(NamedTuple):
    """A state and when it was seen first and last, in seconds."""

    from_s: float
    to_s: float
    state: str


class Lane(NamedTuple):
    """One vCPU, or several that are shown as one."""

    name: str
    spans: tuple[Span, ...]

    @property
    def last(self) -> str:
        """The state that was seen last."""
        return self.spans[-1].state if self.spans else ""


def spans(observations: Iterable[Observation]) -> dict[int, tuple[Span, ...]]:
    """Return what each vCPU was seen doing, by index; a state holds from the dump that shows it to the next one.

    A vCPU runs in a loop where dumps in a row find it within a few bytes for long, or many of them up to the last one:
    every firmware waits for something for a few milliseconds now and then.

    :param observations: dumps of one bring-up, oldest first.
    """
    looks: dict[int, list[tuple[float, VcpuState]]] = defaultdict(list)
    for seen in observations:
        for vcpu in seen.vcpus:
            looks[vcpu.index].append((seen.at_s, vcpu))
    return {index: _spans_of(looks[index]) for index in sorted(looks)}


def _spans_of(looks: Sequence[tuple[float, VcpuState]]) -> tuple[Span, ...]:
    states = [_state(vcpu) for _, vcpu in looks]
    first = 0
    for place in range(1, len(looks) + 1):
        if place < len(looks) and states[first] == states[place] == RUNNING and _near(looks[first][1], looks[place][1]):
            continue
        until_s, last = looks[min(place, len(looks) - 1)][0], place == len(looks)
        looked, lasted_s = place - first, until_s - looks[first][0]
        if looked > 1 and lasted_s >= _LOOP_S or looked >= _LOOP_LOOKS and last:
            states[first:place] = [SPINNING] * (place - first)
        first = place
    done: list[Span] = []
    for (at_s, _), state in zip(looks, states, strict=True):
        _go_on(done, at_s, state)
    return tuple(done)


def _go_on(done: list[Span], at_s: float, state: str) -> None:
    """Let the last of *done* last until *at_s*, when *state* was seen: it goes on, or another span begins."""
    if done:
        done[-1] = done[-1]._replace(to_s=at_s)
    if not done or done[-1].state != state:
        done.append(Span(at_s, at_s, state))


def shown(by_index: dict[int, tuple[Span, ...]], most: int) -> list[Lane]:
    """Return a lane for each vCPU where there are no more than *most*; else the boot CPU, those whose last state is not
    what most APs ended in, and one lane for all others together."""
    lanes = {index: Lane(f"CPU#{index}", own) for index, own in by_index.items()}
    if len(lanes) <= most:
        return list(lanes.values())
    ends = Counter(lane.last for index, lane in lanes.items() if index)
    usual = ends.most_common(1)[0][0]
    alone = [index for index, lane in lanes.items() if not index or lane.last != usual][: most - 1]
    rest = [lane for index, lane in lanes.items() if index not in alone]
    return [*(lanes[index] for index in alone), Lane(f"{len(rest)} others", _together([lane.spans for lane in rest]))]


def columns(own: Sequence[Span], edges: Sequence[float]) -> list[Span]:
    """Return *own* with changes at *edges* only: in between, the state that lasted longest is shown for all of it.

    :param edges: ascending times, at least two.
    """
    merged: list[Span] = []
    place = 0
    for begin, end in zip(edges, edges[1:], strict=False):
        share: dict[str, float] = defaultdict(float)
        while place < len(own) and own[place].to_s <= begin and place + 1 < len(own):
            place += 1
        for span in own[place:]:
            if span.from_s >= end:
                break
            share[span.state] += max(min(span.to_s, end) - max(span.from_s, begin), 1e-9)
        state = max(share, key=share.__getitem__) if share and own[-1].to_s > begin else ""
        if merged and merged[-1].state == state:
            merged[-1] = merged[-1]._replace(to_s=end)
        elif state:
            merged.append(Span(begin, end, state))
    return merged


def _together(all_spans: Sequence[Sequence[Span]]) -> tuple[Span, ...]:
    """What most of them did at any time."""
    changes = sorted((span.from_s, i, span.state) for i, own in enumerate(all_spans) for span in own)
    now: dict[int, str] = {}
    end_s = max((span.to_s for own in all_spans for span in own), default=0.0)
    found: list[Span] = []
    for place, (at_s, i, state) in enumerate(changes):
        now[i] = state
        if place + 1 < len(changes) and changes[place + 1][0] == at_s:
            continue  # several change in one dump
        _go_on(found, at_s, Counter(now.values()).most_common(1)[0][0])
    if found:
        found[-1] = found[-1]._replace(to_s=end_s)
    return tuple(found)


def _state(vcpu: VcpuState) -> str:
    if vcpu.at_reset_vector:
        return RESET_VECTOR
    return HALTED if vcpu.halted else RUNNING


def _near(vcpu: VcpuState, other: VcpuState) -> bool:
    return abs(vcpu.cs_base + vcpu.eip - other.cs_base - other.eip) <= _LOOP_BYTES
