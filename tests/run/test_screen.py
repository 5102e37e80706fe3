from __future__ import annotations

import io
import re
from types import SimpleNamespace

import anyio
import anyio.lowlevel

from qstress.model import Outcome
from qstress.run.screen import Screen
from qstress.stats.tally import Tally
from tests.samples import result, trial
from tests.stats.samples import build, cells


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(screen: Screen, stream: io.StringIO) -> str:
    screen.on_result(result(trial(0)), None)
    screen.on_result(result(trial(1), Outcome.HANG, "lost INIT"), "evidence/1")
    return stream.getvalue()


def test_a_log_gets_a_line_a_finding_and_with_verbose_one_a_trial() -> None:
    stream = io.StringIO()
    text = said(Screen(quiet=False, verbose=False, stream=stream), stream)
    assert text == "trial 1 stock smp 4: hang: lost INIT [evidence/1]\n"
    stream = io.StringIO()
    assert said(Screen(quiet=False, verbose=True, stream=stream), stream).startswith("trial 0 stock smp 4: ok")


def test_quiet_says_nothing_and_without_progress_only_a_verbose_one_does() -> None:
    for stream in (io.StringIO(), Terminal()):
        assert said(Screen(quiet=True, verbose=False, stream=stream), stream) == ""
        assert said(Screen(quiet=False, verbose=False, progress=False, stream=stream), stream) == ""
    stream = io.StringIO()
    assert said(Screen(quiet=False, verbose=True, progress=False, stream=stream), stream).count("trial") == 2


def test_what_qemu_said_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    screen = Screen(quiet=False, verbose=False, stream=stream)
    screen.on_result(result(trial(1), Outcome.CRASH, "died \x1b[2J"), None)
    assert "\x1b" not in stream.getvalue()


class Underway:
    """As much of a soak as a panel shows."""

    def __init__(self) -> None:
        builds = (build("stock"), build("fixed"))
        self.tally = Tally(cells(*builds), [("stock", "fixed")])
        self.settings = SimpleNamespace(builds=builds, stop_trials=40, stop_duration_s=None, lanes=1)
        self.campaign = SimpleNamespace(duration_s=3.0, first_block=0, running=1)
        self.store = SimpleNamespace(run_id="the-run")


async def test_findings_are_printed_above_the_panel() -> None:
    terminal = Terminal()
    screen = Screen(quiet=False, verbose=False, stream=terminal)
    async with screen.following(Underway()):  # type: ignore[arg-type]  # no more of it is looked at
        while "the-run" not in terminal.getvalue():
            await anyio.lowlevel.checkpoint()
        screen.on_result(result(trial(1), Outcome.HANG, "lost INIT [/red]"), "evidence/1")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    finding = shown.index("trial 1 stock smp 4: hang: lost INIT [/red] [evidence/1]")
    assert shown.index("the-run") < finding < shown.rindex("the-run")
