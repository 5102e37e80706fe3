"""Dumps that QEMU printed by itself: because KVM would not go on, or because QEMU could not."""

from __future__ import annotations

from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.case import HALTED, RESET, RUNS, UNKNOWN, Case
from tests.verdict.explain_cases.dumps import REAL, Vcpu, kernel, libkvm, monitor, parked, qemu, reset, user

CODE = "74 05 e8 12 00 00 00 90 <0f> 01 f9 c3 90 90 90"
IN_KERNEL = qemu(Vcpu(0, 0xFFFFFFFF8020EA22, (0x10, 0), 0x10086, cr0=0x80000033, long=True, code=CODE), None)
REAL_MODE = qemu(Vcpu(0, 0x1000, (0x9F00, 0x9F000), 0x10002, cr0=0x33 & ~1, code=CODE), None)
EMULATION = "KVM internal error. Suberror: 1\nextra data[0]: 0x0000000000000400\nemulation failure\n"
ENTRY = (
    "KVM: entry failed, hardware error 0x80000021\n\n"
    "(QEMU then explains that an Intel machine without unrestricted guests may do this.)\n\n"
)
ASSERTION = "Code=kvm: ../hw/core/cpu-sysemu.c:77: cpu_asidx_from_attrs: Assertion `ret >= 0' failed.\n"
FATAL = "qemu: fatal: Trying to execute code outside RAM or ROM at 0x000a0063\n\n"


def logged(vcpu: Vcpu) -> str:
    """What ``-d cpu_reset`` logs as a vCPU is reset."""
    return f"CPU Reset (CPU {vcpu.index})\n{qemu(vcpu, None, log=True)}"


RESETS = "".join(logged(reset(i, halted=i > 0)) for i in range(4))
LOGGED = "Servicing hardware INT=0x08\n     3: v=0d e=0402 i=0 cpl=0 IP=0010:000000000789f7f0 pc=000000000789f7f0\n"

CASES = (
    Case("emulation-failure", "stopped-by-kvm", "certain", (RUNS,), EMULATION + IN_KERNEL),
    Case("emulation-failure-real-mode", "stopped-by-kvm", "certain", (RUNS,), EMULATION + REAL_MODE),
    Case("emulation-failure-quoted", "stopped-by-kvm", "certain", (RUNS,), d.quoted(d.wrapped(EMULATION + IN_KERNEL))),
    Case("emulation-failure-qp", "stopped-by-kvm", "certain", (RUNS,), d.quoted_printable(EMULATION + IN_KERNEL)),
    Case(
        "emulation-failure-of-user-code",
        "stopped-by-kvm",
        "likely",
        (RUNS,),
        EMULATION + qemu(user(0), None, fpu=False),
    ),
    Case(
        "emulation-failure-twice",
        "stopped-by-kvm",
        "certain",
        (RUNS, RUNS),
        EMULATION + IN_KERNEL + EMULATION + REAL_MODE,
    ),
    Case("entry-failed", "stopped-by-kvm", "certain", (RUNS,), d.asked(ENTRY + REAL_MODE, "")),
    Case(
        "entry-failed-at-the-reset-vector",
        "stopped-by-kvm",
        "certain",
        (RESET,),
        "KVM: entry failed, hardware error 0x7\n" + qemu(reset(0), None, fpu=False),
    ),
    Case(
        "entry-failed-and-assertion",
        "qemu-died",
        "likely",
        (RUNS,),
        d.journal(ENTRY + REAL_MODE.replace(f"Code={CODE}\n", ASSERTION)),
    ),
    Case(
        "unknown-exit",
        "stopped-by-kvm",
        "certain",
        (RESET,),
        "KVM: unknown exit reason 24\n" + qemu(reset(0), None, fpu=False),
    ),
    Case("run-failed", "stopped-by-kvm", "certain", (RUNS,), "error: kvm run failed Bad address\n" + IN_KERNEL),
    Case(
        "run-failed-in-another-language",
        "stopped-by-kvm",
        "certain",
        (RUNS,),
        "error: kvm run failed Falsche Adresse\n" + d.page(IN_KERNEL),
    ),
    Case("code-line-alone", "stopped-by-kvm", "likely", (RUNS,), IN_KERNEL),
    Case(
        "run-state-says-so",
        "stopped-by-kvm",
        "certain",
        (RUNS,),
        d.asked("VM status: paused (internal-error)\n", "info status") + monitor(kernel(0, 0xFFFFFFFF81000010)),
    ),
    Case(
        "run-state-alone",
        "stopped-by-kvm",
        "likely",
        (),
        d.asked("VM status: paused (internal-error)\n", "info status"),
    ),
    Case(
        "libkvm-exception",
        "qemu-died",
        "likely",
        (UNKNOWN,),
        "exception 13 (33)\n" + libkvm(Vcpu(0, 0xFA42, (0x9020, 0x90200), 0x33006)) + "Aborted\n",
    ),
    Case(
        "libkvm-exit",
        "stopped-by-kvm",
        "certain",
        (UNKNOWN,),
        "unhandled vm exit: 0x80000021 vcpu_id 0\n" + libkvm(Vcpu(0, 0x145A, REAL, 0x33046)),
    ),
    Case(
        "message-without-a-dump",
        "stopped-by-kvm",
        "likely",
        (),
        "KVM internal error. Suberror: 2\nextra data[0]: 80000008\nextra data[1]: 80000b08\n",
    ),
    Case(
        "fatal",
        "qemu-died",
        "certain",
        (RUNS,),
        FATAL + qemu(Vcpu(0, 0x38E3, (0x9C78, 0x9C780), 0x46, cr0=0x10), None, log=True) + "Aborted (core dumped)\n",
    ),
    Case("fatal-qp", "qemu-died", "certain", (HALTED,), d.quoted_printable(FATAL + qemu(parked(0), None, log=True))),
    Case(
        "hardware-error",
        "qemu-died",
        "certain",
        (RESET, RESET),
        "qemu: hardware error: e1000e: a size of zero is set\n" + "".join(qemu(reset(i), "CPU #{}:") for i in (0, 1)),
    ),
    Case(
        "hardware-error-without-a-dump",
        "qemu-died",
        "likely",
        (),
        "qemu: hardware error: vfio: DMA mapping failed, unable to continue\nAborted\n",
    ),
    Case(
        "assertion-of-qemu",
        "qemu-died",
        "likely",
        (),
        "qemu-system-x86_64: ../block/io.c:12: f: Assertion `x' failed.\n",
    ),
    Case(
        "entry-failed-and-aborted",
        "qemu-died",
        "likely",
        (RUNS,),
        d.quoted(ENTRY + REAL_MODE + "Aborted (core dumped)\n"),
    ),
    Case(
        "internal-error-and-fatal",
        "qemu-died",
        "likely",
        (RUNS,),
        EMULATION + IN_KERNEL + "libvirt: error : internal error: qemu unexpectedly closed the monitor: "
        "qemu-system-x86_64: ../target/x.c:9: put: Assertion `ret == n' failed.\n",
    ),
    Case(
        "internal-error-then-a-crash-by-libvirt",
        "qemu-died",
        "likely",
        (RUNS,),
        EMULATION + IN_KERNEL + "2024-03-01 10:15:00.123+0000: shutting down, reason=crashed\n",
    ),
    Case(
        "words-cut-off-and-assertion",
        "qemu-died",
        "likely",
        (RUNS,),
        REAL_MODE.replace(f"Code={CODE}\n", ASSERTION),
    ),
    Case(
        "run-state-and-assertion",
        "qemu-died",
        "likely",
        (RUNS,),
        d.asked("VM status: paused (internal-error)\n", "info status") + monitor(kernel(0, 0x10)) + ASSERTION,
    ),
    Case("internal-error-no-dump-and-died", "qemu-died", "likely", (), EMULATION + "Aborted (core dumped)\n"),
    Case(
        "died-before-and-stopped-now",
        "stopped-by-kvm",
        "likely",
        (RUNS,),
        "kvm: ../x.c:7: f: Assertion `y' failed.\nWith the newer one:\n" + EMULATION + IN_KERNEL,
    ),
    Case(
        "hardware-error-in-markdown",
        "qemu-died",
        "certain",
        (RESET, RESET),
        "**qemu: hardware error: e1000e: a size of zero is set**\n\n```\n"
        + "".join(qemu(reset(i), "CPU #{}:") for i in (0, 1))
        + "```\n",
    ),
    Case("hardware-error-as-code", "qemu-died", "likely", (), "* `qemu: hardware error: vfio: unable to continue`\n"),
    Case("hardware-error-cut", "qemu-died", "likely", (), "mu: hardware error: vfio: unable to continue\n"),
    Case(
        "check-dmesg", "stopped-by-kvm", "certain", (RUNS,), "emulation failure, check dmesg for details\n" + IN_KERNEL
    ),
    Case(
        "check-dmesg-cut",
        "stopped-by-kvm",
        "certain",
        (RUNS,),
        "ulation failure, check dmesg for details\n" + IN_KERNEL,
    ),
    Case("check-dmesg-bold", "stopped-by-kvm", "likely", (), "> **emulation failure, check dmesg for details**\n"),
    Case("internal-error-cut", "stopped-by-kvm", "certain", (RUNS,), EMULATION[1:] + IN_KERNEL),
    Case(
        "entry-failed-cut", "stopped-by-kvm", "certain", (RUNS,), "ry failed, hardware error 0x80000021\n" + REAL_MODE
    ),
    Case(
        "exception-log",
        "inconclusive",
        "inconclusive",
        (RUNS,),
        LOGGED
        + qemu(kernel(0, 0x789F7F0), None, log=True)
        + "check_exception old: 0xd new 0xd\n"
        + qemu(kernel(0, 0x789F7F0), None, log=True),
    ),
    Case(
        "reset-log",
        "inconclusive",
        "inconclusive",
        (RUNS,),
        "CPU Reset (CPU 0)\n"
        + qemu(reset(0), None)
        + "Triple fault\nCPU Reset (CPU 0)\n"
        + qemu(kernel(0, 0x10DB23), None),
    ),
    Case("log-of-four-resets", "reset-vector", "likely", (RESET,) * 4, RESETS),
    Case(
        "log-of-four-resets-from-the-start",
        "reset-vector",
        "likely",
        (RESET,) * 4,
        "".join(logged(Vcpu(i, 0, (0, 0), 0, cr0=0)) for i in range(4)) + RESETS,
    ),
    Case("log-of-first-resets", "inconclusive", "inconclusive", (UNKNOWN,), logged(Vcpu(0, 0, (0, 0), 0, cr0=0))),
)
