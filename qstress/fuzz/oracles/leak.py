"""A command that should leave nothing behind costs memory or descriptors each time (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qstress.fuzz.exchange import PROBE_AGAIN, Exchange
from qstress.fuzz.ops import Footprint, Send
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle, printf_b
from qstress.fuzz.recording import Recording

#: Repeats between two looks at the footprint, few for a first look at many commands, more where it seemed to grow; and
#: how many rounds of them there are.
REPEATS = 24
REPEATS_AGAIN = 200
ROUNDS = 3
#: Growth a command below which is noise: allocators grow by the page, and caches fill.
LEAK_BYTES = 256


@dataclass(frozen=True, slots=True)
class Growth:
    """What one command costs for good: bytes and descriptors, the least of all rounds."""

    bytes_each: float
    descriptors_each: float


def growth(looks: Sequence[Footprint], repeats: int) -> Growth | None:
    """Return by how much QEMU grew with each repeat, if it did in every round between two of *looks* alike.

    The first round warms caches up; in the others the least growth must be at least half of the most.
    """
    rounds = list(zip(looks[1:], looks[2:], strict=False))
    if not rounds or any(look.descriptors == 0 for look in looks):
        return None
    sizes = [after.anon_bytes - before.anon_bytes for before, after in rounds]
    counts = [after.descriptors - before.descriptors for before, after in rounds]
    grows = min(sizes) >= repeats * LEAK_BYTES and min(sizes) * 2 >= max(sizes)
    opens = min(counts) >= repeats // 4 and min(counts) * 2 >= max(counts)
    if not grows and not opens:
        return None
    return Growth(min(sizes) / repeats if grows else 0.0, min(counts) / repeats if opens else 0.0)


class LeakOracle(Oracle):
    """Growth in every round of the longer probe (:data:`qstress.fuzz.exchange.PROBE_AGAIN`)."""

    kind = "leak"
    expected = "a command that should leave nothing behind costs no memory and no descriptor for good"
    shell_shows = "it prints by how much QEMU grew, and that is too much"
    must_repeat = True

    def judge(self, seen: Observed) -> list[Fault]:
        """Return the leak, named by the command that was repeated."""
        looks = [result for result in seen.outcome.results if isinstance(result, Footprint)]
        if seen.exchange.kind != PROBE_AGAIN or (grown := growth(looks, REPEATS_AGAIN)) is None:
            return []
        at = seen.answers[-1].send.bare_label
        what = "descriptors" if grown.descriptors_each else "memory"
        each = f"each costs {grown.bytes_each:.0f} bytes and {grown.descriptors_each:.2f} descriptors, in every round"
        return [Fault(self.kind, f"{at} leaks {what}", at, (each, f"answered with: {seen.answers[-1].digest.label}"))]

    def shell_replaces(self, step: Exchange) -> bool:
        """The repeats are a loop."""
        return step.kind == PROBE_AGAIN

    def shell_verdict(self, recording: Recording) -> Iterator[str]:
        """Yield the repeats of the last probed command, with two looks at QEMU; it shows when QEMU grew."""
        if probed := [send for step in recording.steps if self.shell_replaces(step) for send in step.sends]:
            yield from _repeated(probed[-1])
        yield "kib=$((after - before)) fds=$((after_fds - before_fds))"
        yield f'echo "{REPEATS_AGAIN} repeats: $kib KiB, $fds descriptors"'
        yield f"test $kib -ge {REPEATS_AGAIN * LEAK_BYTES // 1024} || test $fds -ge {REPEATS_AGAIN // 4}"


def _repeated(send: Send) -> Iterator[str]:
    quoted = b'"' + send.ident.encode() + b'"'
    data = send.data.replace(quoted, b'"more"')
    for look, repeats in (("before", REPEATS), ("after", REPEATS_AGAIN)):
        yield f"i=0; while test $i -lt {repeats} && lives; do printf '%b' {printf_b(data)} >&3; i=$((i + 1)); done"
        named = send.data.replace(quoted, b'"' + look.encode() + b'"')
        yield f"printf '%b' {printf_b(named)} >&3"
        yield f"await reply {look}; {look}=$(anon); {look}_fds=$(ls /proc/$pid/fd | wc -l)"
