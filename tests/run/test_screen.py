from __future__ import annotations

import io

from qstress.model import Outcome
from qstress.run.screen import Screen
from tests.samples import result, trial


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(screen: Screen, stream: io.StringIO) -> str:
    screen.on_result(result(trial(0)), None)
    screen.on_result(result(trial(1), Outcome.HANG, "lost INIT"), "evidence/1")
    return stream.getvalue()


def test_a_log_gets_a_line_a_finding_and_with_verbose_one_a_trial() -> None:
    stream = io.StringIO()
    text = said(Screen(quiet=False, verbose=False, panel=True, stream=stream), stream)
    assert text == "trial 1 stock smp 4: hang: lost INIT [evidence/1]\n"
    stream = io.StringIO()
    assert said(Screen(quiet=False, verbose=True, panel=True, stream=stream), stream).startswith(
        "trial 0 stock smp 4: ok"
    )


def test_quiet_says_nothing_and_a_panel_replaces_the_lines() -> None:
    for stream, quiet in ((io.StringIO(), True), (Terminal(), False)):
        assert said(Screen(quiet=quiet, verbose=False, panel=True, stream=stream), stream) == ""
    terminal = Terminal()
    assert said(Screen(quiet=False, verbose=False, panel=False, stream=terminal), terminal) != ""
