"""Guests that run, spin, idle or are halted, somewhere after the firmware brought them up."""

from __future__ import annotations

from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.case import HALTED, IDLE, RUNS, Case
from tests.verdict.explain_cases.dumps import REAL, Vcpu, info_cpus, kernel, monitor, parked, qemu, user, waiting

IDLE_AT, PANIC_AT = 0xFFFFFFFF81A3B14B, 0xFFFFFFFF81022C47
IDLES = monitor(*(kernel(i, IDLE_AT, halted=True) for i in range(4)), avx=True)
IDLES_LATER = monitor(*(kernel(i, IDLE_AT, halted=True, R12=i) for i in range(4)), avx=True)
STUCK = [monitor(kernel(0, IDLE_AT, halted=True), kernel(1, 0xFFFFFFFF810D3A14 + i, eflags=2, AX=i)) for i in (0, 4, 7)]
MOVES = [
    monitor(kernel(0, 0xFFFFFFFF81000000 + 0x5321 * i, AX=i), user(1, 0x7F5C3A20C000 + 0x777 * i)) for i in (1, 2, 3)
]
DISK_WAIT = Vcpu(0, 0xB7B9, REAL, 0x246, True, 0x10)
SYZ = "VM DIAGNOSIS:\n18:36:05  Registers:\n" + "".join(
    f"info registers vcpu {v.index}\n{qemu(v, None)}"
    for v in (kernel(0, IDLE_AT, halted=True), kernel(1, 0xFFFFFFFF8540D9BF, eflags=2, DX=0x3F8))
)
PANIC = (
    "[   84.126131][ T5070] BUG: KASAN: slab-use-after-free in f+0x1/0x2\n"
    "[   84.201934][ T5070] Kernel panic - not syncing: KASAN: panic_on_warn set ...\n"
    "[   84.209999][ T5070] CPU: 1 UID: 0 PID: 5070 Comm: syz-executor\n[   84.214999][ T5070] Call Trace:\n"
)

CASES = (
    Case("kernel-idle", "idle", "likely", (IDLE,) * 4, IDLES),
    Case("kernel-idle-two-looks", "idle", "certain", (IDLE,) * 4, d.asked(IDLES) + d.asked(IDLES_LATER)),
    Case("kernel-idle-two-looks-alike", "idle", "likely", (IDLE,) * 4, d.asked(IDLES) + d.asked(IDLES)),
    Case("kernel-idle-terminal", "idle", "likely", (IDLE,) * 4, d.terminal(IDLES)),
    Case("kernel-idle-mailed", "idle", "likely", (IDLE,) * 4, d.quoted(d.wrapped(IDLES))),
    Case("kernel-idle-registers-of-apx", "idle", "likely", (IDLE,), monitor(kernel(0, IDLE_AT, halted=True), apx=True)),
    Case("no-bootable-device", "idle", "likely", (IDLE, HALTED, HALTED), monitor(DISK_WAIT, parked(1), parked(2))),
    Case("no-bootable-device-old", "idle", "likely", (IDLE,), d.telnet(qemu(DISK_WAIT, None), "info registers")),
    Case(
        "info-cpus-halted",
        "busy",
        "likely",
        (RUNS, HALTED),
        info_cpus(kernel(0, IDLE_AT), kernel(1, IDLE_AT, halted=True)),
    ),
    Case("one-look-at-a-parked-ap", "halted", "likely", (HALTED,), qemu(parked(2))),
    Case("halted-for-good", "halted", "likely", (HALTED,), monitor(kernel(0, PANIC_AT, halted=True, eflags=0x46))),
    Case(
        "halted-for-good-two-looks",
        "halted",
        "certain",
        (HALTED, HALTED),
        "".join(
            d.asked(monitor(kernel(0, PANIC_AT, halted=True, eflags=0x46, CX=count), parked(1))) for count in (7, 9)
        ),
    ),
    Case(
        "halted-for-good-two-looks-alike",
        "halted",
        "likely",
        (HALTED, HALTED),
        d.asked(monitor(kernel(0, PANIC_AT, halted=True, eflags=0x46), parked(1))) * 2,
    ),
    Case(
        "halted-without-eflags", "inconclusive", "inconclusive", (HALTED,), monitor(parked(0)).replace("EFL=", "EFL ")
    ),
    Case("long-loop-one-look", "busy", "likely", (IDLE, RUNS), STUCK[0]),
    Case("long-loop-two-looks", "spinning", "likely", (IDLE, RUNS), d.asked(STUCK[0]) + d.asked(STUCK[1])),
    Case("long-loop-three-looks", "spinning", "certain", (IDLE, RUNS), "".join(map(d.asked, STUCK))),
    Case(
        "long-loop-while-paused",
        "busy",
        "likely",
        (IDLE, RUNS),
        d.asked(STUCK[0]) * 3 + "(qemu) info status\nVM status: paused\n",
    ),
    Case(
        "one-spins-one-moves",
        "spinning",
        "likely",
        (RUNS, RUNS),
        "".join(d.asked(monitor(kernel(0, 0xFFFFFFFF81000000 + 0x777 * i), user(1))) for i in (1, 2)),
    ),
    Case("runs-one-look", "busy", "likely", (RUNS, RUNS), MOVES[0]),
    Case("runs-three-looks", "busy", "certain", (RUNS, RUNS), "".join(map(d.asked, MOVES))),
    Case(
        "runs-three-looks-no-header",
        "busy",
        "likely",
        (RUNS,),
        "".join(
            d.asked(qemu(kernel(0, 0xFFFFFFFF81000000 + 0x5321 * i, AX=i), None), "info registers") for i in (1, 2, 3)
        ),
    ),
    Case(
        "chosen-with-cpu-n",
        "idle",
        "likely",
        (IDLE, IDLE),
        d.asked("")
        + "".join(
            f"(qemu) cpu {i}\n(qemu) info registers\n{qemu(kernel(i, IDLE_AT + i, halted=True), None)}" for i in (0, 1)
        ),
    ),
    Case("syzbot", "busy", "likely", (IDLE, RUNS), SYZ),
    Case("syzbot-after-a-panic", "busy", "likely", (IDLE, RUNS), PANIC + SYZ),
    Case("syzbot-qp", "busy", "likely", (IDLE, RUNS), d.quoted_printable(d.wrapped(SYZ))),
    Case("in-smm", "busy", "likely", (RUNS,), monitor(Vcpu(0, 0x8000, (0x3000, 0x30000), smm=True, cr0=0x10))),
    Case("firmware-with-one-cpu", "busy", "likely", (RUNS,), monitor(Vcpu(0, 0xEA3C2))),
    Case("all-up-and-post-goes-on", "busy", "likely", (RUNS, HALTED), monitor(waiting(expects=2), parked(1))),
)
