"""A server of trials in a thread, on pipes; the process-runs are played."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from qstress.model import Trial
from qstress.run import served
from qstress.run.served import Served
from qstress.trial.context import Coordinator, TrialContext

Played = Callable[[Sequence[Trial], TrialContext, Coordinator], Awaitable[None]]


class Conversation:
    """``to_server`` and ``from_server`` are our ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, play: Played) -> None:
        monkeypatch.setattr(served, "run_process", play)
        server_in, self.to_server = os.pipe()
        self.from_server, server_out = os.pipe()

        def serve() -> None:
            anyio.run(Served(server_in, server_out).serve)
            os.close(server_out)
            os.close(server_in)

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def hang_up(self) -> None:
        """Close our end of its input, and wait until it has ended."""
        os.close(self.to_server)
        self._thread.join()

    def close(self) -> None:
        """Hang up, and let go of its output."""
        self.hang_up()
        os.close(self.from_server)
