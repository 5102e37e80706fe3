"""Texts that are no dump of QEMU's x86 vCPUs, however much they look like one."""

from __future__ import annotations

from tests.verdict.explain_cases.case import Case

ARM = "CPU#0\n" + "".join(
    " ".join(f"R{i:02}={i:08x}" for i in range(row, row + 4)) + "\n" for row in range(0, 16, 4)
) + "PSR=400001d3 -Z-- A S svc32\n"  # fmt: skip
ARM64 = " PC=ffffffc0104d16c0 X00=0000000000000000 X01=ffffffc010730000\nPSTATE=600003c5 -ZC- EL1h\n"
PPC = "NIP c00000000003c95c   LR c0000000000c40c4 CTR c000000000c083f0 XER 0000000000000000 CPU#0\n"
RISCV = " pc       0000000080000000\n mhartid  0000000000000000\n x0/zero  0000000000000000 x1/ra    0000000080000000\n"
S390 = "error: kvm run failed Cannot allocate memory\nPSW=mask 0000000180000000 addr 000000007fd00600\n"
MIPS = "pc=0x80010d40 HI=0x00000000 LO=0x00000000 ds 0000 801b6cd8 0\nGPR00: r0 00000000 at 10008401\n"
GDB = "(gdb) info registers\nrax            0x10                16\nrip            0xfff0              0xfff0\n"
OOPS = (
    "BUG: unable to handle page fault\nCPU: 1 PID: 77 Comm: kworker\nRIP: 0010:strnlen+0x1c/0x30\n"
    "RSP: 0018:ffffc900004fe7c8 EFLAGS: 00010246\nRAX: 0000000000000063 RBX: 00000000000003f8\nCall Trace:\n <TASK>\n"
)
VMCS = "*** Guest State ***\nCR0: actual=0x0000000080010031\nRSP = 0x0000000000000000  RIP = 0x000000000000fff0\n"
WINDBG = "rax=0000000000000001 rbx=0000000000000000 rip=fffff80003c8a0c0\niopl=0         nv up ei pl zr na po nc\n"
CLAIM = '    fprintf(stderr, "KVM internal error. Suberror: %d\\n", run->internal.suberror);\n'
TALK = "We have seen no KVM internal error. Suberror 1 was only in the other report, with HLT set.\n"
BUILD = (
    "[1841/2876] Compiling C object libqemu-x86_64.fa.p/hw_x.c.o\nFAILED: libqemu-x86_64.fa.p/hw_x.c.o\n"
    '../include/qemu/compiler.h:82:36: error: static assertion failed: "not expecting: sizeof(x) != 4"\n'
    "ninja: build stopped: subcommand failed.\nmake: *** [Makefile:165: run-ninja] Error 1\n"
)
LINKER = (
    "/usr/bin/ld: BFD (GNU Binutils) 2.38 assertion failed ../../bfd/elflink.c:2 in qemu-system-x86_64\n"
    "collect2: fatal error: ld terminated with signal 6 [Aborted], core dumped\n"
)
QTEST = (
    "ERROR:../tests/qtest/boot-serial-test.c:213:test_machine: assertion failed: (ok)\n"
    "Bail out! ERROR:../tests/qtest/boot-serial-test.c:213:test_machine: assertion failed: (ok)\n"
)
RUST = "thread 'main' panicked at 'assertion failed: x', /build/qemu/rust/x.rs:10\nmake: *** [x] Error 101\n"
GLIB = "[2/9] x\nERROR:../util/qemu-x.c:3:f: assertion failed: (x)\nninja: build stopped: subcommand failed.\n"
GIT = "qemu: fatal: not a git repository (or any of the parent directories): .git\n"
COMPILER = "clang-15: ../qemu/llvm/lib/CodeGen/x.cpp:77: f: Assertion `x' failed.\n"

CASES = (
    Case("arm", "not-a-dump", "certain", (), ARM),
    Case("arm-fatal", "not-a-dump", "certain", (), "qemu: fatal: Lockup: two faults at once\n\n" + ARM),
    Case("arm64", "not-a-dump", "certain", (), ARM64),
    Case("powerpc", "not-a-dump", "certain", (), PPC),
    Case("risc-v", "not-a-dump", "certain", (), RISCV),
    Case("s390-run-failed", "not-a-dump", "certain", (), S390),
    Case("mips", "not-a-dump", "certain", (), MIPS),
    Case("gdb", "not-a-dump", "certain", (), GDB),
    Case("oops", "not-a-dump", "certain", (), OOPS),
    Case("vmcs", "not-a-dump", "certain", (), VMCS),
    Case("windbg", "not-a-dump", "certain", (), WINDBG),
    Case("source-code", "not-a-dump", "certain", (), CLAIM),
    Case("talk", "not-a-dump", "certain", (), TALK),
    Case("build-failed", "not-a-dump", "certain", (), BUILD),
    Case("linker-failed", "not-a-dump", "certain", (), LINKER),
    Case("compiler-failed", "not-a-dump", "certain", (), COMPILER),
    Case("qtest-failed", "not-a-dump", "certain", (), QTEST),
    Case("rust-failed", "not-a-dump", "certain", (), RUST),
    Case("a-test-failed-in-a-build", "not-a-dump", "certain", (), GLIB),
    Case("git-failed", "not-a-dump", "certain", (), GIT),
    Case("empty", "not-a-dump", "certain", (), ""),
)
