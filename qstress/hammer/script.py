"""What a hammer sends, command after command (pure, and seeded where something is drawn).

Most hammers send one command for ever. Some draw each line from a mix, or a vCPU for each line; and a kick is a *turn*
of several commands, of which the last undoes the first: who stops in the middle of a turn must send the rest of it, or
the guest stays stopped.

Sources: dirty logging begins with a migration's set-up (``ram_save_setup``); ``stop`` and ``dump-guest-memory`` stop
all vCPUs (``pause_all_vcpus``, ``dump_init``). QEMU 8.2 was the first to migrate to ``file:``, so ``exec:`` it is. A
migration is over when ``query-migrate`` says so, and ``cont`` is refused until the run state is ``finish-migrate`` no
more (``migration_iteration_finish``, ``qmp_cont``): both are asked again until it is so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Generator, Mapping

from qstress.guest.wire import hmp_request, request
from qstress.model import HammerSpec, Kick

#: So slowly does a kick's migration write that it cannot come to its end, which would stop the guest: empty memory
#: alone takes 9 bytes a page, 18 s for 32 MiB.
_BYTES_PER_S = 4096
_Command = tuple[str, Mapping[str, object]]
_Lines = Generator[tuple[bytes, bool], bytes, None]
#: What asks for the state of something that has not come to its end, by its reply; a state not listed is an end.
_UNDER_WAY = {
    "query-migrate": re.compile(rb'"status": "(?:none|setup|wait-unplug|active|pre-switchover|device|cancelling)"'),
    "query-status": re.compile(rb'"status": "finish-migrate"'),
}


class Script:
    """The commands of *spec*, one at a time. ``at_rest``: no turn is under way.

    :param smp: how many vCPUs the guest has, for a ``K`` in an HMP line.
    :param scratch: path of a file that QEMU may overwrite.
    """

    def __init__(self, spec: HammerSpec, seed: int, *, smp: int = 1, scratch: str = "/dev/null") -> None:
        self.at_rest = True
        self._lines = _lines(spec, random.Random(seed), smp, scratch)
        self._begun = False

    def next(self, reply: bytes = b"") -> bytes:
        """Return the bytes of the next command; *reply* is what the last one was answered, if it was."""
        line, self.at_rest = self._lines.send(reply) if self._begun else next(self._lines)
        self._begun = True
        return line


def _lines(spec: HammerSpec, rng: random.Random, smp: int, scratch: str) -> _Lines:
    """Yield commands, each with whether it ends a turn; each is sent the reply to it."""
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


def _turns(kick: Kick, scratch: str) -> _Lines:
    once, turn = _commands(kick, scratch)
    for name, arguments in once:
        yield request(name, arguments), True
    while True:
        for place, (name, arguments) in enumerate(turn, 1):
            asked = _UNDER_WAY.get(name)
            while asked is not None and asked.search((yield request(name, arguments), False)):
                pass
            if asked is None:
                yield request(name, arguments), place == len(turn)


def _commands(kick: Kick, scratch: str) -> tuple[list[_Command], list[_Command]]:
    """Return what prepares a kick, and the commands of one turn."""
    to_scratch: _Command = ("migrate", {"uri": f"exec:cat > {scratch}"})
    match kick:
        case Kick.STOP_CONT:
            return [], [("stop", {}), ("cont", {})]
        case Kick.DUMP_MEMORY:
            return [], [("dump-guest-memory", {"paging": False, "protocol": f"file:{scratch}"})]
        case Kick.DIRTY_LOG:
            slow: _Command = ("migrate-set-parameters", {"max-bandwidth": _BYTES_PER_S, "downtime-limit": 0})
            return [slow], [to_scratch, ("migrate_cancel", {})]
        case Kick.MIGRATE:
            asked: list[_Command] = [(name, {}) for name in _UNDER_WAY]
            return [], [("stop", {}), to_scratch, *asked, ("cont", {})]
