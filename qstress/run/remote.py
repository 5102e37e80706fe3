"""Trials that run elsewhere: the soak's end of the conversation that :mod:`qstress.run.served` has with it."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

import anyio

from qstress.errors import RigError
from qstress.model import Trial
from qstress.run.messages import Began, Ended, Finished, Inbox, Kicked, Message, Over, Run, Taken, encoded
from qstress.trial.context import Coordinator, TrialContext

_CHUNK = 1 << 16


def asked(number: int, trials: Sequence[Trial], context: TrialContext) -> Run:
    """Return the message that has *trials* run, as run *number*, by whoever has another clock."""
    return Run(number, tuple(trials), context, time.monotonic() - context.run_began_s)


async def follow(
    number: int, heard: Callable[[], Awaitable[Message]], send: Callable[[Message], None], coordinator: Coordinator
) -> None:
    """Tell *coordinator* what is *heard* of run *number* until that is over.

    :raises RigError: what *coordinator* or *heard* raised.
    :raises RuntimeError: qstress failed there: a defect.
    """
    while True:
        match await heard():
            case Over(error=error):
                if error:
                    raise RuntimeError(f"a server of trials failed:\n{error}")
                return
            case Finished(trials=finished, waits=waits):
                go_on = coordinator.take(finished)
                if waits or not go_on:
                    send(Taken(number, go_on))
            case Began(trial=trial, pid=pid):
                coordinator.began(trial, pid)
            case Ended(trial=trial):
                coordinator.ended(trial)
            case Kicked(cell_index=cell_index, count=kicks):
                coordinator.kicked(cell_index, kicks)
            case _:
                pass


class RemoteTrials:
    """Has process-runs run by a server that is reached through two pipes; any number at once.

    :param why_gone: why the server's end was closed, once it is.
    """

    def __init__(self, input_fd: int, output_fd: int, why_gone: Callable[[], RigError]) -> None:
        self._in = input_fd
        self._out = output_fd
        self._why_gone = why_gone
        self._inbox = Inbox()
        self._numbers = count(1)
        self._waiting: defaultdict[int, deque[Message]] = defaultdict(deque)
        self._reading = False
        self._news = anyio.Event()
        self._gone = False

    async def run_process(self, trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        """As :func:`qstress.trial.process_run.run_process`, elsewhere.

        :raises RigError: what *coordinator* raised, or the server is gone: ``why_gone``.
        :raises RuntimeError: qstress failed there: a defect.
        """
        number = next(self._numbers)
        self._send(asked(number, trials, context))
        try:
            await follow(number, lambda: self._next(number), self._send, coordinator)
        finally:
            self._waiting.pop(number, None)

    def _send(self, message: Message) -> None:
        view = memoryview(encoded(message))
        try:
            while view:
                view = view[os.write(self._out, view) :]
        except BrokenPipeError:
            raise self._why_gone() from None

    async def _next(self, number: int) -> Message:
        """Return the next message of run *number*; who waits first reads for all."""
        while not self._waiting[number]:
            if self._gone:
                raise self._why_gone()
            if self._reading:
                await self._news.wait()
                continue
            self._reading = True
            try:
                await anyio.wait_readable(self._in)
                self._read()
            finally:
                self._reading = False
                self._news.set()
                self._news = anyio.Event()
        return self._waiting[number].popleft()

    def _read(self) -> None:
        data = os.read(self._in, _CHUNK)
        self._gone = not data
        for message in self._inbox.feed(data):
            self._waiting[message.number].append(message)
