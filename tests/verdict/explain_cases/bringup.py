"""Guests that bring up their APs, did not begin to, or wait for one that was lost."""

from __future__ import annotations

from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.case import HALTED, IDLE, RESET, RUNS, SIPI, UNKNOWN, Case
from tests.verdict.explain_cases.dumps import (
    REAL,
    Vcpu,
    info_cpus,
    kernel,
    libkvm,
    monitor,
    parked,
    post,
    qemu,
    reset,
    waiting,
)

LOST_1_OF_4 = monitor(waiting(expects=4), parked(1), reset(2), parked(3))
LATER = monitor(waiting(0xEE305, expects=4), parked(1), reset(2), parked(3))
LOST_2_OF_2 = monitor(waiting(expects=2), reset(1))
LOST_2_LATER = monitor(waiting(0xEE2E7, expects=2), reset(1))
TWO_LOOKS = d.asked(LOST_1_OF_4) + "\nten seconds later:\n" + d.asked(LATER)
ONE_LOST = (RUNS, HALTED, RESET, HALTED)
ALL_AT_RESET = monitor(*(reset(i, halted=i > 0) for i in range(4)))
# The wait loop as SeaBIOS 1.16.2 has it (docs/background/qemu.md, "The bytes of the wait loop"): CountCPUs at f5240,
# SMPLock at f5218.
LOOP = bytes.fromhex("3b1d40520f00741f892544520f00c70518520f0000000000f390f00fba2d18520f000072f3ebd9")


def xp(data: bytes, at: int) -> str:
    """What ``xp /Nxb`` prints of *data*."""
    rows = (data[i : i + 8] for i in range(0, len(data), 8))
    return "".join(f"{at + 8 * i:016x}: {' '.join(f'0x{byte:02x}' for byte in row)}\n" for i, row in enumerate(rows))


CODE = d.asked(xp(b"\x90" * 8 + LOOP + b"\x90", 0xEE2D9), "xp /48xb 0xee2d9")
SEEN_BY_CODE = monitor(waiting(expects=3), parked(1), reset(2)) + CODE
COUNTED_BY_CODE = SEEN_BY_CODE + d.asked("00000000000f5240: 0x00000003\n", "xp /1xw 0xf5240")
PHANTOM = d.asked(monitor(waiting(expects=4), parked(1), parked(2))) + CODE

CASES = (
    # lost INIT
    Case("lost-one-of-four-one-look", "lost-init", "likely", ONE_LOST, LOST_1_OF_4),
    Case("lost-one-of-four-two-looks", "lost-init", "certain", ONE_LOST, TWO_LOOKS),
    Case("lost-two-looks-quoted", "lost-init", "certain", ONE_LOST, d.quoted(TWO_LOOKS, 2)),
    Case("lost-two-looks-qp", "lost-init", "certain", ONE_LOST, d.quoted_printable(d.quoted(TWO_LOOKS))),
    Case("lost-two-looks-telnet", "lost-init", "certain", ONE_LOST, d.telnet(LOST_1_OF_4) + d.telnet(LATER)),
    Case("lost-two-replies", "lost-init", "certain", ONE_LOST, d.reply(LOST_1_OF_4) + d.reply(LATER)),
    Case("lost-two-replies-alike", "lost-init", "likely", ONE_LOST, d.reply(LOST_1_OF_4) * 2),
    Case("lost-two-looks-web-page", "lost-init", "certain", ONE_LOST, d.page(TWO_LOOKS)),
    Case("lost-two-looks-one-line", "lost-init", "certain", ONE_LOST, d.one_line(TWO_LOOKS)),
    Case(
        "lost-one-look-and-its-quotation",
        "lost-init",
        "likely",
        ONE_LOST,
        LOST_1_OF_4 + "\nYou wrote:\n" + d.quoted(LOST_1_OF_4),
    ),
    Case("lost-only-ap-count-in-ebx", "lost-init", "likely", (RUNS, RESET), LOST_2_OF_2),
    Case("lost-only-ap-cut", "lost-init", "likely", (RUNS, RESET), d.cut(LOST_2_OF_2)),
    Case("lost-only-ap-cut-mailed", "lost-init", "likely", (RUNS, RESET), d.quoted(d.wrapped(d.cut(LOST_2_OF_2), 60))),
    Case(
        "lost-cut-two-looks",
        "lost-init",
        "likely",
        (RUNS, RESET),
        d.cut(LOST_2_OF_2) + "again:\n" + d.cut(LOST_2_LATER),
    ),
    Case(
        "lost-all-three-two-looks",
        "lost-init",
        "certain",
        (RUNS, RESET, RESET, RESET),
        d.asked(monitor(waiting(expects=4), *map(reset, (1, 2, 3))))
        + d.asked(monitor(waiting(0xEE2E1, expects=4), *map(reset, (1, 2, 3)))),
    ),
    Case("lost-seen-by-code", "lost-init", "likely", (RUNS, HALTED, RESET), SEEN_BY_CODE),
    Case("not-lost-by-its-count", "busy", "likely", (RUNS, HALTED, RESET), COUNTED_BY_CODE),
    Case(
        "lost-headers-of-old-qemu",
        "lost-init",
        "likely",
        (RUNS, HALTED, RESET),
        "".join(qemu(v, "CPU #{}:") for v in (waiting(expects=3), parked(1), reset(2))),
    ),
    Case(
        "lost-through-virsh",
        "lost-init",
        "likely",
        ONE_LOST,
        "# virsh qemu-monitor-command vm7 --hmp 'info registers -a'\n" + d.crlf(LOST_1_OF_4),
    ),
    Case(
        "lost-in-creation-order",
        "lost-init",
        "likely",
        ONE_LOST,
        monitor(waiting(expects=4), parked(3), parked(1), reset(2)),
    ),
    Case(
        "lost-and-paused-since",
        "inconclusive",
        "inconclusive",
        (RUNS, RESET),
        d.asked("VM status: paused\n", "info status") + LOST_2_OF_2,
    ),
    Case(
        "lost-in-two-boots",
        "lost-init",
        "likely",
        ONE_LOST,
        LOST_1_OF_4 + "\nThe same after a reboot of the host:\n" + LATER,
    ),
    Case("lost-or-plugged-in", "lost-init", "likely", ONE_LOST, "Found 3 cpu(s) max supported 4 cpu(s)\n" + TWO_LOOKS),
    # an AP at the reset vector, and no lost INIT
    Case(
        "post-before-the-wait",
        "inconclusive",
        "inconclusive",
        (RUNS, RESET, RESET),
        monitor(post(), reset(1), reset(2)),
    ),
    Case(
        "post-goes-on",
        "inconclusive",
        "inconclusive",
        (RUNS, RESET),
        d.asked(monitor(post(), reset(1))) + d.asked(monitor(post(0xEB204), reset(1))),
    ),
    Case("post-in-relocated-code", "busy", "likely", (RUNS, RESET), monitor(Vcpu(0, 0x1FAB320), reset(1))),
    Case(
        "ap-came-up-between-looks",
        "busy",
        "likely",
        (RUNS, HALTED),
        d.asked(LOST_2_OF_2) + d.asked(monitor(waiting(expects=2), parked(1))),
    ),
    Case(
        "sipi-taken",
        "busy",
        "likely",
        (RUNS, SIPI),
        monitor(waiting(expects=2), Vcpu(1, 0, (0x1000, 0x10000), cr0=0x60000010)),
    ),
    Case(
        "plugged-in-under-an-idle-kernel",
        "idle",
        "likely",
        (IDLE, RESET),
        monitor(kernel(0, 0xFFFFFFFF81A3B14B, halted=True), reset(1)),
    ),
    Case("kernel-without-its-ap", "busy", "likely", (RUNS, RESET), monitor(kernel(0, 0xFFFFFFFF81042A10), reset(1))),
    Case(
        "ovmf-wakes-its-aps",
        "busy",
        "likely",
        (RUNS, RESET),
        monitor(Vcpu(0, 0x7F1D225, (0x38, 0), 0x246, cr0=0x80010033, long=True), reset(1)),
    ),
    # replayed INIT, and a wait for nobody
    Case(
        "ap-runs-start-up-code",
        "replayed-init",
        "likely",
        (RUNS, RUNS),
        monitor(waiting(expects=2), Vcpu(1, 0x1FAB7C2)),
    ),
    Case("phantom-cpu", "spinning", "likely", (RUNS, HALTED, HALTED), PHANTOM),
    Case(
        "phantom-cpu-two-looks",
        "spinning",
        "certain",
        (RUNS, HALTED, HALTED),
        PHANTOM + d.asked(monitor(waiting(0xEE2F4, expects=4), parked(1), parked(2))),
    ),
    # nothing has run
    Case("not-started", "reset-vector", "likely", (RESET,) * 4, ALL_AT_RESET),
    Case(
        "not-started-and-said-so",
        "reset-vector",
        "certain",
        (RESET,) * 4,
        d.asked("VM status: paused (prelaunch)\n", "info status") + d.asked(ALL_AT_RESET),
    ),
    Case(
        "not-started-two-looks", "reset-vector", "likely", (RESET,) * 4, d.asked(ALL_AT_RESET) + d.asked(ALL_AT_RESET)
    ),
    Case("not-started-no-header", "reset-vector", "likely", (RESET,), d.asked(qemu(reset(0), None), "info registers")),
    Case(
        "reset-after-it-had-run",
        "reset-vector",
        "likely",
        (RESET,) * 4,
        "SeaBIOS (version rel-1.16.2)\nBooting from Hard Disk...\n" + d.asked(ALL_AT_RESET),
    ),
    Case(
        "reset-between-two-looks",
        "reset-vector",
        "likely",
        (RESET, RESET),
        d.asked(monitor(kernel(0, 0xFFFFFFFF81042A10), parked(1)))
        + d.asked("", "system_reset")
        + d.asked(monitor(reset(0), reset(1))),
    ),
    Case("one-ap-alone", "reset-vector", "inconclusive", (RESET,), qemu(reset(3))),
    Case("not-started-info-cpus", "reset-vector", "likely", (RESET, RESET), info_cpus(reset(0), reset(1, halted=True))),
    Case(
        "only-a-sentence",
        "reset-vector",
        "likely",
        (RESET,),
        "The second one stays at EIP=0000fff0 && CS =f000 ffff0000 for ever.\n",
    ),
    # cut until nothing can be said
    Case(
        "boot-cpu-cut-away",
        "inconclusive",
        "inconclusive",
        (UNKNOWN, RESET),
        "CPU#0\nEAX=00000010 EBX=00000002\n" + qemu(reset(1)),
    ),
    Case(
        "libkvm-without-its-message", "inconclusive", "inconclusive", (UNKNOWN,), libkvm(Vcpu(0, 0x9B3B, REAL, 0x33006))
    ),
)
