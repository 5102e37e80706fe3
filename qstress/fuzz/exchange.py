"""What is sent to a guest together, and what came of it: values for the oracles, which touch no process (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from qstress.fuzz.ops import Op, Result, Send, To

#: The kind of an exchange that repeats one command between looks at the footprint, the second and longer time.
PROBE_AGAIN = "probe-again"
#: The kind of an exchange that only looks at the state.
LOOK = "look"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Ops that are executed together; ``kind`` is one of the generator's mix, ``planned``, ``probe`` and the like."""

    kind: str
    ops: tuple[Op, ...]

    @property
    def sends(self) -> list[Send]:
        """The messages among its ops."""
        return [op for op in self.ops if isinstance(op, Send)]


@dataclass(frozen=True, slots=True)
class GuestExit:
    """How QEMU ended: exit status, negative for a signal, and its last words."""

    returncode: int
    said: str


@dataclass(frozen=True, slots=True)
class Stall:
    """A living QEMU that did not answer: at which command, on which monitor, and how it looked meanwhile.

    ``in_band`` and ``out_of_band`` say whether the control monitor was still served. ``busy`` is the share of a core
    that QEMU's main thread used while it was silent. ``endless``: it did answer, and did not come to an end.
    ``waits`` are QEMU's threads and what each waits for in the kernel. ``unread``: QEMU had not read all that this
    monitor was sent, so it is not an answer that we missed.
    """

    send: Send | None
    to: To
    waited_s: float
    in_band: bool
    out_of_band: bool
    busy: float
    endless: bool = False
    waits: tuple[str, ...] = ()
    unread: bool = False

    @property
    def picture(self) -> str:
        """The same in words that do not differ between two equal stalls."""
        if self.endless:
            return "it talks without end"
        if self.in_band:
            return "only this monitor is silent"
        if self.out_of_band:
            return "no monitor answers in band"
        return f"the main loop is {'busy' if self.busy > 0.5 else 'blocked'}"


@dataclass(frozen=True, slots=True)
class ExchangeOutcome:
    """What came of an exchange: one result an op, lines that nobody had asked for, and how QEMU ended if it did."""

    at_s: float
    results: tuple[Result, ...]
    strays: tuple[bytes, ...] = ()
    ended: GuestExit | None = None
    stall: Stall | None = None
    hung_up: bool = False  # a monitor's connection ended although QEMU lives
    lingers: bool = False  # it said that it ends, and did not

    @property
    def over(self) -> bool:
        """Whether nothing more can be executed on this guest."""
        return self.ended is not None or self.stall is not None or self.hung_up or self.lingers
