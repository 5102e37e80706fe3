"""The proof of a survey: bring-ups hammered with a command, and how many lose or replay an INIT."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

from qstress.fuzz.ops import only_reads
from qstress.host.bringups import settled_bringups
from qstress.model import Build, HammerSpec, Rate
from qstress.survey.answers import Answer, RaceCount, Races
from qstress.survey.requests import Request

HOLD_S = 0.001


def hammer_of(request: Request, answer: Answer, folder: str) -> HammerSpec | None:
    """Return the hammer that sends *request* at full rate; None where it cannot be sent again and again unconfined.

    An HMP line about one vCPU is aimed at an AP, since the boot CPU is sent no INIT.

    :param folder: where it may write files; ends with a slash.
    """
    unbounded = request.generated and not only_reads(
        request.name
    )  # it may write any file, and nothing confines it here
    detached = " -d " in request.step.text  # QEMU refuses cont while such a dump or migration is under way
    if unbounded or detached or request.fresh or request.before or request.after:
        return None
    command, arguments = request.step.qmp(0, 1 if answer is Answer.ONE else None, folder=folder)
    return HammerSpec(command, "qmp", Rate(None, "max"), json.dumps(arguments))


async def races(build: Build, hammer: HammerSpec | None, bringups: int, *, sandbox: bool) -> Races:
    """Return what *bringups* bring-ups under *hammer* came to: as they are, and with APs held before and after reading.

    :param hammer: None: nothing is sent.

    :raises RigError: the guest cannot be run here.
    """
    run = partial(settled_bringups, bringups=bringups, hammer=hammer, sandbox=sandbox)
    plain = await run(build)
    after = await run(replace(build, hold_write_s=HOLD_S))
    before = await run(replace(build, hold_read_s=HOLD_S))
    return Races(
        RaceCount(plain.lost, plain.n), RaceCount(plain.replayed, plain.n), RaceCount(after.lost, after.n),
        RaceCount(before.replayed, before.n),
    )  # fmt: skip
