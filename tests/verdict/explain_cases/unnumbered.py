"""Lines cut out of dumps, so that nothing says which vCPU a state is of."""

from __future__ import annotations

from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.bringup import LATER, LOST_1_OF_4
from tests.verdict.explain_cases.case import HALTED, IDLE, RESET, RUNS, UNKNOWN, Case
from tests.verdict.explain_cases.dumps import kernel, monitor, post, qemu, reset
from tests.verdict.explain_cases.running import IDLE_AT
from tests.verdict.explain_cases.stopped import RESETS


def grepped(text: str, *wanted: str) -> str:
    """What ``grep`` leaves of *text*."""
    return "".join(f"{line}\n" for line in text.splitlines() if any(word in line for word in wanted))


def digest(text: str) -> str:
    """What ``sort | uniq -c`` makes of *text*."""
    lines = text.splitlines()
    return "".join(f"{lines.count(line):7d} {line}\n" for line in sorted(set(lines)))


ONE_LOST = (RUNS, HALTED, RESET, HALTED)
LOST_LINES = grepped(LOST_1_OF_4, "EIP=")
ONE_BUSY = monitor(kernel(0, 0xFFFFFFFF81042A10), *(kernel(i, IDLE_AT, halted=True) for i in (1, 2, 3)))
ONE_LOOP = monitor(*(post(0xEE2E1 + i) for i in range(4)))
ALL_AT_RESET = monitor(*(reset(i) for i in range(3)))
SHORT = "".join(f"{line.split()[0]} {line.split()[-1]}\n" for line in LOST_LINES.splitlines())
IRC = "".join(f"[10:1{i}:07] <joe> {line}\n" for i, line in enumerate(LOST_LINES.splitlines()))
COMMAND = "$ virsh qemu-monitor-command vm7 --hmp 'info registers -a' | grep EIP=\n"
UNCLEAR = ("inconclusive", "inconclusive")

CASES = (
    Case("grep-of-a-lost-init", *UNCLEAR, ONE_LOST, LOST_LINES),
    Case("grep-of-a-lost-init-and-its-command", *UNCLEAR, ONE_LOST, COMMAND + LOST_LINES),
    Case("grep-of-two-lines", *UNCLEAR, ONE_LOST, grepped(LOST_1_OF_4, "EIP=", "CS =")),
    Case("grep-twice", *UNCLEAR, ONE_LOST * 2, COMMAND + LOST_LINES + COMMAND + grepped(LATER, "EIP=")),
    Case("grep-mailed", *UNCLEAR, ONE_LOST, d.quoted(d.wrapped(LOST_LINES, 60))),
    Case("grep-and-its-quotation", *UNCLEAR, ONE_LOST, LOST_LINES + "\nYou wrote:\n" + d.quoted(LOST_LINES)),
    Case("grep-and-awk", *UNCLEAR, (RUNS, HALTED, RUNS, HALTED), SHORT),
    Case("grep-on-irc", *UNCLEAR, ONE_LOST, IRC),
    Case("grep-of-one-busy", *UNCLEAR, (RUNS, IDLE, IDLE, IDLE), grepped(ONE_BUSY, "RIP=")),
    Case("grep-of-one-loop", *UNCLEAR, (RUNS,) * 4, grepped(ONE_LOOP, "EIP=")),
    Case("grep-of-the-reset-vector", *UNCLEAR, (RESET,) * 3, grepped(ALL_AT_RESET, "EIP=")),
    Case(
        "headers-cut-away",
        *UNCLEAR,
        ONE_LOST,
        "".join(
            f"{qemu(v, None)}\n"
            for v in (
                post(0xEE2FB),
                kernel(1, IDLE_AT, halted=True, eflags=0x46),
                reset(2),
                kernel(3, 0x1000, halted=True, eflags=0x46),
            )
        ),
    ),
    Case("digest-of-grep", *UNCLEAR, (RESET, RUNS, HALTED), digest(LOST_LINES)),
    Case("digest-of-one-line", *UNCLEAR, (RESET,), digest(grepped(ALL_AT_RESET, "EIP="))),
    Case("digest-of-a-reset-log", *UNCLEAR, (RESET, RESET), digest(grepped(RESETS, "EIP="))),
    Case("digest-of-a-whole-reset-log", *UNCLEAR, (RESET, RESET), digest(RESETS)),
    Case("digest-of-one-vcpu", *UNCLEAR, (RUNS, RUNS), digest(monitor(post(0xE9000)) + monitor(post(0xE9100)))),
    Case(
        "sorted-dump", *UNCLEAR, (RESET, RUNS, HALTED), "".join(f"{x}\n" for x in sorted(set(LOST_1_OF_4.splitlines())))
    ),
    Case("grep-with-numbers", "lost-init", "likely", ONE_LOST, grepped(LOST_1_OF_4, "CPU#", "EIP=", "EBX=")),
    Case(
        "numbered-lines",
        "lost-init",
        "likely",
        ONE_LOST,
        "".join(f"{number:6d} {line}\n" for number, line in enumerate(LOST_1_OF_4.splitlines(), 1)),
    ),
    Case("one-state-that-was-not-reset", *UNCLEAR, (UNKNOWN,), "EIP=00000000 EFL=00000000 [-------] HLT=0\n"),
)
