"""The boot CPU's wait for its APs, as ``hang`` and ``explain`` both picture it (pure).

SeaBIOS sends INIT and SIPI once and then spins until as many CPUs checked in as it expects; EBX holds that number, and
so it does in smpscan (``src/fw/smp.c``; docs/background/qemu.md, "SeaBIOS's smp.c").
"""

from __future__ import annotations

from dataclasses import dataclass

from qstress.model import WaitLoop


@dataclass(frozen=True, slots=True)
class ApWait:
    """The boot CPU waits until ``expected`` vCPUs are up, itself included; ``found`` are (None: not read).

    ``later``: they had come before, were parked, and are woken once more;
    ``unwoken`` did not wake, as far as it is known.
    ``by_code``: it is in the loop by the loop's own bytes; otherwise the number in EBX alone says that it waits.
    """

    expected: int
    found: int | None = None
    by_code: bool = True
    later: bool = False
    unwoken: tuple[int, ...] = ()

    @classmethod
    def of(cls, loop: WaitLoop | None) -> ApWait | None:
        """Return the wait that was found in a living guest's memory, None for none."""
        return None if loop is None else cls(loop.expected, loop.found, later=loop.later, unwoken=loop.unwoken)

    @property
    def missing(self) -> int:
        """How many vCPUs have not come, as far as it is known."""
        return 0 if self.found is None else max(0, self.expected - self.found)

    @property
    def over(self) -> bool:
        """Whether all that it waits for are known to be up."""
        return self.found is not None and self.found >= self.expected

    @property
    def sentence(self) -> str:
        """It as a reason."""
        if not self.by_code:
            return f"CPU#0 has the number of vCPUs, {self.expected}, in EBX, as it has in SeaBIOS's wait for its APs"
        have = "" if self.found is None else f" and has {self.found}"
        return f"CPU#0 is in SeaBIOS's wait for its APs, by its code: it expects {self.expected} CPUs{have}"
