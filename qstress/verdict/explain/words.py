"""What is said around register dumps: why QEMU printed them, whether the guest runs, and what else a text can be.

The messages are QEMU's own: ``kvm_cpu_exec`` and ``kvm_handle_internal_error`` (accel/kvm/kvm-all.c),
``kvm_arch_handle_exit`` (target/i386/kvm/kvm.c), ``cpu_abort`` (cpu-target.c), ``hw_error`` (system/cpus.c), and
libkvm's ``kvm_run`` in qemu-kvm up to 0.12. They count where nothing but a mail's, a log's or a journal's marks stand
before them in their line: source code that prints them, and sentences about them, do not.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from qstress.verdict.explain.picture import Foreign, Words

_KVM = re.compile(
    r"KVM internal error|KVM: (?:entry failed|unknown exit|exception \d{1,3} exit)|kvm run failed"
    r"|emulation failure[ \t]{0,8}$|Failed to (?:put|get) registers|unhandled vm exit: {1,2}0x"
    r"|kvm_run(?:: failed entry| returned -\d|: [A-Z])"
    r"|exception \d{1,3} \([0-9a-f]{1,8}\)\s{1,4}[^\n]{0,80}?rax [0-9a-f]{16}",
    re.MULTILINE,
)
_DIED = re.compile(
    r"qemu: (?:fatal|hardware error): |qemu: unhandled CPU exception"
    r"|Assertion |assertion failed|Bail out! ERROR:"
)
_ABORTED = re.compile(r"\bAborted(?: \(core dumped\))?[ \t]{0,8}$|\(core dumped\)|SIGABRT", re.MULTILINE)
_STATUS = re.compile(r"VM status: (running|paused)(?: \(([a-z-]{1,20})\))?|\"status\": ?\"([a-z-]{1,20})\"")
_FOUND = re.compile(r"Found \d{1,5} cpu\(s\) max supported")
# What may stand before a message in its line: quotation marks, a log's time, ``host QEMU[123]:``, a prompt.
_BEFORE = re.compile(r"[> |\t]*(?:[^\"'`]{0,100}[:\])>.])? ?(?:error: |ERROR: )?")
_REGISTER = re.compile(r"=(?!0x)")
_LINE = 300
#: How far after a message its dump may begin: KVM's advice on Intel machines, a journal's marks in each line.
_DUMP_REACH = 2000
#: What else a text is can be told from its beginning.
_FOREIGN_WITHIN = 1 << 18

# QEMU's dumps of other CPUs, which its messages in the same text can be about.
_OTHER_CPUS = {
    "a dump of an ARM CPU": r"\bR00=[0-9a-f]{8} R01=|\bPSR=[0-9a-f]{8}\b",
    "a dump of a 64-bit ARM CPU": r"\bX00=[0-9a-f]{16}\b|\bPSTATE=[0-9a-f]{8}\b",
    "a dump of a PowerPC CPU": r"\bNIP [0-9a-f]{8,16} {1,4}LR |\bGPR00 [0-9a-f]{8,16} ",
    "a dump of a RISC-V CPU": r"\bx0/zero |\bx1/ra |\bmhartid\b",
    "a dump of an s390 CPU": r"\bPSW=mask [0-9a-f]{16}",
    "a dump of a MIPS CPU": r"\bGPR00: r0 ",
    "a dump of a SPARC CPU": r"%g0-[37]:|\bnpc: [0-9a-f]{8}",
    "a dump of an m68k CPU": r"\bD0 = [0-9a-f]{8} {1,4}A0 = ",
    "a dump of a LoongArch CPU": r"\bFCSR0 0x[0-9a-f]|\bCSR_CRMD=",
    "a dump of another CPU than x86": r"\bA00=[0-9a-f]{8} A01=|\bIA_F [0-9a-f]|\bsr=0x[0-9a-f]{8} pr=0x",
}
# What is no dump of QEMU's: a tool's own, and reports that may stand beside QEMU's messages.
_TOOLS = {
    "gdb's own output": r"\(gdb\)|^[> ]{0,8}[er]ip {1,16}0x[0-9a-f]|^[> ]{0,8}#\d{1,3} {1,2}0x[0-9a-f]+ in ",
}
_REPORTS = {
    "a kernel's report of its own crash": r"\b[RE]IP: [0-9a-f]{4}:|\bCall Trace:|\bOops: |Kernel panic - not",
    "the kernel's dump of a VMCS or VMCB": r"\*\*\* Guest State \*\*\*|\bVMCB [0-9a-f]{8,16}",
    "a debugger's output": r"\biopl=\d|\bcrash> |\br[ai][px] = 0x[0-9a-f]",
    "Xen's output": r"\(XEN\) ",
    "a report of the guest's firmware": r"X64 Exception Type|IA32 Exception Type",
    "a Bochs or VirtualBox log": r"\bCPU is in real mode \(active\)|\bVMMR0\b|Guru Meditation",
}
_FOREIGN = tuple(
    (Foreign(name, other_cpu=names is _OTHER_CPUS, dump=names is not _REPORTS), re.compile(pattern, re.MULTILINE))
    for names in (_OTHER_CPUS, _TOOLS, _REPORTS)
    for name, pattern in names.items()
)


def words(text: str, states: Sequence[int]) -> Words:
    """Return what *text*, cleaned, says beside the register values.

    :param states: offsets at which vCPU states begin, ascending; only of dumps that QEMU also prints by itself.
    """
    kvm, with_kvm = _message(_KVM, text, states)
    died, with_died = _message(_DIED, text, states)
    return Words(
        kvm=kvm,
        died=died,
        with_dump=with_kvm if kvm else with_died,
        emulation="emulation failure" in text,
        aborted=_ABORTED.search(text) is not None,
        status=_status(text),
        found_cpus=_FOUND.search(text) is not None,
    )


def foreign(text: str) -> Foreign:
    """Return what *text* is beside or instead of a dump of QEMU's x86 CPUs, by its beginning."""
    start = text[:_FOREIGN_WITHIN]
    return next((known for known, pattern in _FOREIGN if pattern.search(start)), Foreign())


def _message(pattern: re.Pattern[str], text: str, states: Sequence[int]) -> tuple[str, bool]:
    """Return the first message of *pattern* that is QEMU's own, and whether the state that QEMU prints after it is
    there (after a failed assertion it prints none); such a message goes before one without. Empty where there is none.
    """
    alone = ""
    for match in pattern.finditer(text):
        said = text[match.start() : match.start() + _LINE].partition("\n")[0]
        begin = text.rfind("\n", max(0, match.start() - _LINE), match.start()) + 1
        before = text[begin or max(0, match.start() - _LINE) : match.start()]
        asserted = "assert" in match[0].lower() or match[0].startswith("Bail")
        if not (_names_qemu(before, said) if asserted else _BEFORE.fullmatch(before)):
            continue
        if not asserted and _has_dump(text, match.end(), states):
            return _printable(said), True
        alone = alone or _printable(said)
    return alone, False


def _has_dump(text: str, end: int, states: Sequence[int]) -> bool:
    """Whether a message that ends at *end* has its dump: the next state is near, and no other register between."""
    after = bisect_left(states, end)
    if after == len(states) or states[after] > end + _DUMP_REACH:
        return False
    return not _REGISTER.search(text, end, states[after])


def _names_qemu(before: str, said: str) -> bool:
    """A failed assertion is QEMU's where its line names QEMU, as the C library's does, or is of GLib's form."""
    line = before + said
    return ("failed" in said or "ERROR:" in line) and any(name in line for name in ("qemu", "kvm: ", "ERROR:"))


def _printable(line: str) -> str:
    shown = " ".join("".join(letter if letter.isprintable() else "?" for letter in line).split())
    return shown if len(shown) <= 120 else shown[:119] + "…"


def _status(text: str) -> str:
    """The last run state that QEMU told: ``running``, ``prelaunch``, ``internal-error``, plain ``paused``, …"""
    told = list(_STATUS.finditer(text))
    return told[-1][2] or told[-1][1] or told[-1][3] if told else ""
