"""One look, shown more than once."""

from __future__ import annotations

import base64

from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.bringup import ALL_AT_RESET, LATER, LOST_1_OF_4, ONE_LOST, TWO_LOOKS
from tests.verdict.explain_cases.case import IDLE, RESET, RUNS, Case
from tests.verdict.explain_cases.dumps import monitor, parked, reset, waiting
from tests.verdict.explain_cases.running import IDLES, STUCK

LOST = ("lost-init", "likely", ONE_LOST)
LONE_MARKS = "".join(f">\n{line}\n" for line in LOST_1_OF_4.splitlines())
MAIL = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{}\n"


def base64_part(text: str) -> str:
    """*text* as a part of a raw mail."""
    return MAIL.format(base64.encodebytes(text.encode()).decode())


def between(*words: str) -> str:
    """The same dump after each of *words*."""
    return "".join(f"{said}\n{LOST_1_OF_4}" for said in words)


CASES = (
    Case("copy-after-the-command", *LOST, between("info registers -a", "info registers")),
    Case("copy-in-an-answer", *LOST, between("", "-----Original Message-----\nSent: Tue, 21 Nov 2023 10:15:01 +0100")),
    Case("copy-in-a-forum", *LOST, between("", "[quote=joe]") + "[/quote]\nSame here, after 10 minutes.\n"),
    Case(
        "copy-by-the-tracker", *LOST, between("Description of problem:", "Comment 1, 2 hours later: description again")
    ),
    Case("copy-said-to-be-later", *LOST, between("", "and 10 seconds later, with nothing changed:")),
    Case("copy-behind-lone-marks", *LOST, LOST_1_OF_4 + "later:\n" + LONE_MARKS),
    Case("copy-before-with-lone-marks", *LOST, LONE_MARKS + "5 s later\n" + LOST_1_OF_4),
    Case("copy-in-a-page", *LOST, LOST_1_OF_4 + "again\n" + d.page(LOST_1_OF_4)),
    Case("copy-as-a-reply", *LOST, LOST_1_OF_4 + d.reply(LOST_1_OF_4)),
    Case("copy-encoded", *LOST, base64_part(LOST_1_OF_4) + "Content-Type: text/html\n\n" + d.page(LOST_1_OF_4)),
    Case("copy-from-a-journal", *LOST, LOST_1_OF_4 + "at 10:16:00 again\n" + d.journal(LOST_1_OF_4)),
    Case("copy-from-a-terminal", *LOST, LOST_1_OF_4 + "a minute later\n" + d.terminal(d.quoted(LOST_1_OF_4), 61)),
    Case("copy-on-one-line", *LOST, LOST_1_OF_4 + "again after 7 s\n" + d.one_line(LOST_1_OF_4)),
    Case("copy-cut", *LOST, LOST_1_OF_4 + "10 s later:\n" + d.cut(LOST_1_OF_4)),
    Case("copy-of-a-cut-one", *LOST, d.cut(LOST_1_OF_4) + "in full, 10 s later:\n" + LOST_1_OF_4),
    Case("copy-of-two-vcpus", *LOST, LOST_1_OF_4 + "again\n" + monitor(waiting(expects=4), reset(2))),
    Case(
        "copy-backwards", *LOST, LOST_1_OF_4 + "again\n" + monitor(parked(3), reset(2), parked(1), waiting(expects=4))
    ),
    Case("copies-of-both-looks", "lost-init", "certain", ONE_LOST, TWO_LOOKS + "You wrote:\n" + d.quoted(TWO_LOOKS)),
    Case("copy-between-two-looks", "lost-init", "certain", ONE_LOST, LOST_1_OF_4 * 2 + "and then\n" + LATER),
    Case(
        "copy-at-the-reset-vector",
        "reset-vector",
        "likely",
        (RESET,) * 4,
        ALL_AT_RESET + "1 minute later\n" + ALL_AT_RESET,
    ),
    Case("copy-idle", "idle", "likely", (IDLE,) * 4, d.asked(IDLES) + "again\n" + d.terminal(d.asked(IDLES))),
    Case("copies-in-a-loop", "busy", "likely", (IDLE, RUNS), "5 seconds later\n".join([STUCK[0]] * 3)),
    Case(
        "copies-of-one-wrapped",
        "busy",
        "likely",
        (IDLE, RUNS),
        "".join(d.terminal(STUCK[0], width) for width in (80, 76, 60)),
    ),
)
