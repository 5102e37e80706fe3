"""What a hammer sends, command after command (pure, and seeded where something is drawn).

Most hammers send one command for ever. Some draw each line from a mix, or a vCPU for each line; and a kick is a *turn*
of several commands, of which the last undoes the first: who stops in the middle of a turn must send the rest of it, or
the guest stays stopped.

Sources: dirty logging begins with a migration's set-up (``ram_save_setup``); ``stop`` and ``dump-guest-memory`` stop
all vCPUs (``pause_all_vcpus``, ``dump_init``). QEMU 8.2 was the first to migrate to ``file:``, so ``exec:`` it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping

from qstress.guest.wire import hmp_request, request
from qstress.model import HammerSpec, Kick

#: So slowly does a kick's migration write that it cannot come to its end, which would stop the guest: empty memory
#: alone takes 9 bytes a page, 18 s for 32 MiB.
_BYTES_PER_S = 4096
_Command = tuple[str, Mapping[str, object]]


class Script:
    """The commands of *spec*, one at a time. ``at_rest``: no turn is under way.

    :param smp: how many vCPUs the guest has, for a ``K`` in an HMP line.
    :param scratch: path of a file that QEMU may overwrite.
    """

    def __init__(self, spec: HammerSpec, seed: int, *, smp: int = 1, scratch: str = "/dev/null") -> None:
        self.at_rest = True
        self._lines = _lines(spec, random.Random(seed), smp, scratch)

    def next(self) -> bytes:
        """Return the bytes of the next command."""
        line, self.at_rest = next(self._lines)
        return line


def _lines(spec: HammerSpec, rng: random.Random, smp: int, scratch: str) -> Iterator[tuple[bytes, bool]]:
    """Yield commands, each with whether it ends a turn."""
    if spec.via == "kick":
        yield from _turns(Kick(spec.command), scratch)
    if not spec.varies:
        plain = request(spec.command, json.loads(spec.arguments)) if spec.via == "qmp" else hmp_request(spec.command)
        while True:
            yield plain, True
    texts, weights = zip(*(spec.mix or [(spec.command, 1)]), strict=True)
    while True:
        (text,) = rng.choices(texts, weights)
        words = [str(rng.randrange(smp)) if word == "K" else word for word in text.split(" ")]
        yield hmp_request(" ".join(words)), True


def _turns(kick: Kick, scratch: str) -> Iterator[tuple[bytes, bool]]:
    once, turn = _commands(kick, scratch)
    for name, arguments in once:
        yield request(name, arguments), True
    while True:
        for place, (name, arguments) in enumerate(turn, 1):
            yield request(name, arguments), place == len(turn)


def _commands(kick: Kick, scratch: str) -> tuple[list[_Command], list[_Command]]:
    """Return what prepares a kick, and the commands of one turn."""
    match kick:
        case Kick.STOP_CONT:
            return [], [("stop", {}), ("cont", {})]
        case Kick.DUMP_MEMORY:
            return [], [("dump-guest-memory", {"paging": False, "protocol": f"file:{scratch}"})]
        case Kick.DIRTY_LOG:
            slow: _Command = ("migrate-set-parameters", {"max-bandwidth": _BYTES_PER_S, "downtime-limit": 0})
            return [slow], [("migrate", {"uri": f"exec:cat > {scratch}"}), ("migrate_cancel", {})]
