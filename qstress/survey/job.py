"""The survey of one QEMU: each command to guests of each kind, some times, and a look at nothing in between."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio

from qstress.errors import RigError
from qstress.firmware.rom import find_rom
from qstress.fuzz.confine import confinement, may_use_kvm
from qstress.fuzz.fuzzed_guest import GuestSetup, guest_environment
from qstress.fuzz.hmp import Hmp, parse_help
from qstress.fuzz.ops import Await, Send, To, only_reads
from qstress.fuzz.pool import Pool
from qstress.fuzz.protocol import Fate, Reader
from qstress.host.sandbox import has_sandbox
from qstress.interposer import build as interposer
from qstress.model import Accel, Build, Shape
from qstress.survey.answers import Answer, Races, Row, not_tried, row
from qstress.survey.observed import GuestKind, Sending
from qstress.survey.race import hammer_of, races
from qstress.survey.recipes import DUMP_FILE, NOT_TRIED
from qstress.survey.requests import Commands, Request
from qstress.survey.stage import GuestLost, Stage, StageSetting

#: How often a command is sent to each kind of guest; and how often at most where each sending takes a new one.
SENDINGS, NEW_GUESTS = 10, 3
SMP = 4
#: What the boot CPU of the guests does whose APs are to wait for ever: ``cli; hlt; jmp`` at the reset vector.
_PARKED, _ROM_BYTES, _RESET_VECTOR = b"\xfa\xf4\xeb\xfd", 1 << 16, 0xFFF0
_NO_LOG = -1
_WRITE_BACK = (Answer.ONE, Answer.ALL)

#: Tells how far it is: what is done now.
Say = Callable[[str], None]


@dataclass(slots=True)
class Surveyed:
    """What came of one way to send a command; ``request`` is None until QEMU has accepted one of ``candidates``.

    ``asked`` is the command as somebody wrote it, empty where nobody did.
    """

    via: str
    name: str
    candidates: Sequence[Request]
    asked: str = ""
    request: Request | None = None
    said: str = ""
    sendings: list[Sending] = field(default_factory=list)
    lost: dict[GuestKind, str] = field(default_factory=dict)
    tried: threading.Event = field(default_factory=threading.Event)  # it is known what is accepted

    @property
    def text(self) -> str:
        """What it is called while nothing was accepted: as it was asked for, else its one recipe, else its name."""
        own = [each.step.text for each in self.candidates if not each.generated]
        return self.asked or (own[0] if own else self.name)


#: Says what is sent.
Choose = Callable[[Commands], list[Surveyed]]


@dataclass(frozen=True, slots=True)
class Survey:
    """A survey, done. ``controls`` is how often nothing was sent, ``loud`` where something was seen all the same;
    ``held_out``: what bring-ups came to with nothing sent, None where there was no race."""

    build: Build
    rows: tuple[Row, ...]
    controls: int
    loud: tuple[str, ...]
    took_s: float
    held_out: Races | None = None


@contextmanager
def stage_setting(build: Build, *, sandboxed: bool) -> Iterator[StageSetting]:
    """Yield what guests of a survey of *build* have in common.

    :raises RigError: reason ``no-sandbox``, or an image of ours is missing.
    """
    with tempfile.TemporaryDirectory(prefix="qstress-survey-") as folder:
        rom = Path(folder, "parked.rom")
        rom.write_bytes(_PARKED.rjust(_RESET_VECTOR + len(_PARKED), b"\0").ljust(_ROM_BYTES, b"\0"))
        env = guest_environment(tuple(interposer.environment(build, _NO_LOG).items()))
        confined = None
        if sandboxed:
            confined = confinement(build.binary, env, kvm=True, files=(str(rom), str(find_rom("smpscan"))))
            # a device that is root's alone: what is sent is our choice, so bubblewrap without capabilities will do
            confined = confined if may_use_kvm() else replace(confined, uid=None)
        shape = Shape(SMP, "pc", Accel.KVM, 32 << 20, "smpscan")
        yield StageSetting(build, shape, GuestSetup(confined, env), str(rom))


def learn(setting: StageSetting) -> Commands:
    """Return the commands of a live QEMU, as its help and its schema tell them.

    :raises RigError: it cannot be started, or does not tell.
    """
    with Stage(GuestKind.PAUSED, setting) as stage:
        schema = stage.schema()
        told = (stage.hmp(line) for line in ("help", "help info"))
        return Commands(schema, Hmp([command for text in told for command in parse_help(text)], Pool()))


def survey(
    build: Build, *, bringups: int, sample: int = 0, sendings: int = SENDINGS, sandboxed: bool, say: Say,
    choose: Choose | None = None,
) -> Survey:  # fmt: skip
    """Return the survey of *build* under KVM.

    :param bringups: of each kind for a command that writes back; 0: no race.
    :param sendings: of each command to each kind of guest; at most three where each takes a new one.
    :param sample: as many of the safe commands are put to the race, too, the same ones each time.
    :param choose: what is sent, by default every command.
    :raises RigError: QEMU cannot be started, or this host cannot confine it.
    """
    began_s = time.monotonic()
    with stage_setting(build, sandboxed=sandboxed) as setting:
        commands = learn(setting)
        todo = (choose or every_command)(commands)
        observers = [_Observer(state, setting, Reader(commands.schema), sendings) for state in GuestKind]
        with ThreadPoolExecutor(len(observers)) as pool:
            running = [pool.submit(each.run, todo, say) for each in observers]
            try:
                for done in as_completed(running):
                    done.result()
            except BaseException:
                for each in observers:
                    each.stopping.set()
                raise
    pairs = [(each, _row_of(each)) for each in todo]
    safe = [made.command for each, made in pairs if made.answer is Answer.SAFE and _hammers(each)]
    sampled = Random("safe").sample(safe, min(sample, len(safe)))
    sandbox = has_sandbox(build)
    race = partial(_raced, build=build, bringups=bringups, sandbox=sandbox, say=say)
    rows = [
        race(each, made) if bringups and (made.answer in _WRITE_BACK or made.command in sampled) else made
        for each, made in pairs
    ]
    raced = any(made.races for made in rows)
    held_out = anyio.run(partial(races, build, None, bringups, sandbox=sandbox)) if raced else None
    names = {(each.via, each.name) for each in todo}
    untried = [not_tried(name, via, NOT_TRIED[name]) for via, name in commands.names()
               if choose is None and (via, name) not in names]  # fmt: skip
    return Survey(
        build, tuple(sorted((*rows, *untried), key=lambda each: (each.via, each.command))),
        sum(each.looks for each in observers), tuple(line for each in observers for line in each.loud),
        time.monotonic() - began_s, held_out,
    )  # fmt: skip


def every_command(commands: Commands) -> list[Surveyed]:
    """Return all that *commands* can be sent as."""
    return [Surveyed(via, name, ways) for via, name in commands.names() for ways in commands.requests(via, name)]


class _Observer:
    """Sends commands to guests of one kind and counts looks at nothing between them."""

    def __init__(self, state: GuestKind, setting: StageSetting, reader: Reader, sendings: int) -> None:
        self._state, self._setting, self._reader, self._sendings = state, setting, reader, sendings
        self._first = state is GuestKind.WAITING
        self._number = 10
        self.looks, self.loud = 0, list[str]()
        self.stopping = threading.Event()

    def run(self, todo: Sequence[Surveyed], say: Say) -> None:
        """Send *todo*. Guests whose APs wait come first: what they accept is what the others are sent."""
        try:
            with Stage(self._state, self._setting) as stage:
                for surveyed in todo:
                    if not self._first:
                        surveyed.tried.wait()
                    if self.stopping.is_set():
                        return
                    say(f"{self._state}: {surveyed.name}")
                    self._try(stage, surveyed)
                    surveyed.tried.set()
                    self.looks += 1
                    if records := stage.control():
                        self.loud.append(f"{self._state}, after {surveyed.name}: {len(records)} records")
        finally:
            for surveyed in todo if self._first else ():
                surveyed.tried.set()

    def _try(self, stage: Stage, surveyed: Surveyed) -> None:
        known = surveyed.request
        for request in (known,) if known else surveyed.candidates if self._first else surveyed.candidates[:1]:
            done = self._sent(stage, surveyed, request)
            if any(each.accepted for each in done):
                surveyed.request = known or request
                surveyed.sendings += done
                return
            if done and self._first:
                surveyed.said = done[-1].said

    def _sent(self, stage: Stage, surveyed: Surveyed, request: Request) -> list[Sending]:
        done: list[Sending] = []
        try:
            for turn in range(self._sendings):
                if request.fresh:
                    stage.renew()
                self._number += 1
                cpu = 1 if request.via == "hmp" and turn % 2 else None
                done.append(stage.send(request, self._number, cpu, self._refusal))
                if not done[0].accepted:
                    return done
                if turn + 1 == NEW_GUESTS and (request.fresh or not stage.alive):
                    break
        except GuestLost as error:
            surveyed.lost[self._state] = str(error)
        if request.changes:  # the next command finds a guest as it should be
            stage.renew()
        return done

    def _refusal(self, request: Request, reply: Any) -> str:
        """Return in QEMU's words why *reply* is a refusal, empty where it is none."""
        step = request.step
        if isinstance(reply, dict) and reply.keys() == {"class", "desc"}:
            return str(reply["desc"])
        if step.arguments is not None or not isinstance(reply, str):
            return ""
        digest = self._reader.read(Send(To.HMP, b"", Await.PROMPT, "", step.command), b"\n" + reply.encode())
        # some of HMP's errors look like no error; but what is to change something says nothing where it does
        doubtful = request.generated and not only_reads(request.name) and reply.strip()
        return reply.strip().splitlines()[0] if digest.fate is Fate.REFUSED or doubtful else ""


def _row_of(surveyed: Surveyed) -> Row:
    if surveyed.request is None:
        said = next(iter(surveyed.lost.values()), surveyed.said) or "no arguments were found that it takes"
        return not_tried(surveyed.text, surveyed.via, said)
    text = surveyed.request.step.text
    made = row(surveyed.asked or text, surveyed.via, surveyed.sendings, surveyed.lost)
    return made if surveyed.asked in ("", text) else replace(made, why=f"{made.why}; sent as {text}")


def _hammers(surveyed: Surveyed) -> bool:
    return surveyed.request is not None and hammer_of(surveyed.request, Answer.SAFE, "") is not None


def nearest_recipe(candidates: Sequence[Request], request: Request) -> Request:
    """Return the recipe among *candidates* that reads most like *request*; *request* where there is none."""
    own = [each for each in candidates if not each.generated]
    return max(own, key=lambda each: SequenceMatcher(None, request.step.text, each.step.text).ratio(), default=request)


def _raced(surveyed: Surveyed, made: Row, *, build: Build, bringups: int, sandbox: bool, say: Say) -> Row:
    """Return *made* with what the race itself says of the command."""
    request = surveyed.request
    assert request is not None
    if request.generated and not only_reads(surveyed.name):  # files only where we say
        request = nearest_recipe(surveyed.candidates, request)
        if not request.generated:
            made = replace(made, why=f"{made.why}; raced as {request.step.text}")
    with tempfile.TemporaryDirectory(prefix="qstress-survey-") as folder:
        hammer = hammer_of(request, made.answer, f"{folder}/")
        if hammer is None:
            return replace(made, untried="it cannot be sent again and again while guests boot")
        Path(folder, DUMP_FILE).touch()  # QEMU would make it so that it cannot write it a second time
        say(f"the race: {made.command}")
        try:
            return replace(made, races=anyio.run(partial(races, build, hammer, bringups, sandbox=sandbox)))
        except RigError as error:
            return replace(made, untried=str(error))
