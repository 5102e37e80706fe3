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
from dataclasses import dataclass

from qstress.verdict.explain.picture import Foreign, Words


def _cut_before(message: str, rest: str) -> str:
    """Return a pattern for *message* without its first letters, as a selection cuts them, at the begin of a line or of
    what a log says; *rest*, a pattern, is what must be there. Source code and sentences have it elsewhere."""
    ends = "|".join(re.escape(message[cut:]) for cut in range(1, len(message)))
    return rf"(?:^[> |\t*_`~]{{0,12}}|(?<=[:\])>] ))(?:{ends})?{rest}"


_KVM = re.compile(
    r"KVM internal error|KVM: (?:entry failed|unknown exit|exception \d{1,3} exit)|kvm run failed"
    r"|emulation failure(?:, check dmesg[^\n]{0,40})?[ \t*]{0,8}$|Failed to (?:put|get) registers"
    r"|unhandled vm exit: {1,2}0x|kvm_run(?:: failed entry| returned -\d|: [A-Z])"
    r"|exception \d{1,3} \([0-9a-f]{1,8}\)\s{1,4}[^\n]{0,80}?rax [0-9a-f]{16}"
    rf"|{_cut_before('KVM internal ', 'error[.] Suberror: ')}"
    rf"|{_cut_before('KVM: entry ', 'failed, hardware error 0x')}"
    rf"|{_cut_before('emulat', 'ion failure, check dmesg')}",
    re.MULTILINE,
)
_DIED = re.compile(
    r"qemu: (?:fatal(?!: (?:not a git|unable to access|clone of))|hardware error):[ `_]|qemu: unhandled CPU exception"
    rf"|{_cut_before('qemu', ': (?:fatal: Trying to execute|hardware error: )')}"
    r"|(?P<asserted>Assertion |Zusicherung |L.assertion |assertion failed|Bail out! ERROR:)",
    re.MULTILINE,
)
_ENDED = re.compile(
    r"\b(?:Aborted|Segmentation fault|Bus error|Illegal instruction)(?: \(core dumped\))?[ \t*`]{0,8}$"
    r"|\(core dumped\)|SIGABRT|SIGSEGV|reason=crashed"
    r"|End of file from (?:qemu )?monitor|unexpectedly closed the monitor"
    r"|\b(?:qemu|kvm)[\w-]{0,30}\[\d{1,10}\]: segfault",
    re.MULTILINE,
)
_STATUS = re.compile(r"VM status: (running|paused)(?: \(([a-z-]{1,20})\))?|\"status\": ?\"([a-z-]{1,20})\"")
_FOUND = re.compile(r"Found \d{1,5} cpu\(s\) max supported")
#: What firmware, boot loaders and kernels print, and what resets a guest.
_RAN = re.compile(
    r"SeaBIOS \(version|Machine UUID|iPXE|Press (?:ESC|F12)|Booting (?:from|`|the kernel)|Found \d{1,5} cpu\(s\)"
    r"|handle_smp: apic_id|In resume|Attempting a hard reboot|No bootable device|smpscan \d|BdsDxe: |EDK II|\bGRUB\b"
    r"|SYSLINUX|ISOLINUX|Decompressing Linux|Linux version \d|Triple fault|\bsystem_reset\b"
    r"|\"event\": ?\"RESET\""
)
_PANIC = re.compile(
    r"(?:Kernel panic - not syncing|Fatal trap \d{1,2}|(?<![\w.-])panic): (?!runtime error)[^\n]{1,200}"
)
_CRASHED = re.compile(
    r"(?:Oops: |BUG: |kernel BUG at |general protection fault[:,] |Unable to handle kernel |INFO: (?:task|rcu_)"
    r"|WARNING: CPU: )[^\n]{1,200}"
)
# What may stand before a message in its line: quotation marks, marks of markup, a log's time, ``host QEMU[123]:``, a
# prompt.
_BEFORE = re.compile(r"[> |\t*_~`#+-]*(?:[^\"'`]{0,100}[:\])>.}])?[ *_~`]{0,4}(?:error: |ERROR: )?")
# A failed assertion as the C library and as GLib report it, and what else has these words: compilers, QEMU's tests.
_LIBC_ASSERTION = re.compile(r"(?<![\w.-])(?:qemu|kvm: )[^\n]{0,200}?\.(?:c|h|inc):\d")
_GLIB_ASSERTION = re.compile(r"ERROR:\S{1,200}?:\d{1,6}:")
_QEMUS_ASSERTION = re.compile(r"(?:qemu-(?:system|kvm)|kvm: )")
_BUILD = re.compile(
    r"(?:^[> \t]{0,8}|(?<=[:\])>] ))"
    r"(?:ninja: |make(?:\[\d{1,3}\])?: \*\*\* |FAILED: |\[\d{1,6}/\d{1,6}\] [A-Z][a-z]{1,12}ing )"
    r"|internal compiler error|(?:collect2|ld): (?:error|returned)|error: static assert|RPM build errors"
    r"|dpkg-buildpackage: error|\.(?:[ch]|build):\d{1,6}:\d{1,6}: (?:fatal )?(?:error|ERROR):? ",
    re.MULTILINE,
)
_NOT_OF_QEMU = re.compile(
    r"static[ _]assert|:\d{1,6}:\d{1,6}: (?:fatal )?error: |\btests?/|\b(?:g?cc|clang|ld|cc1)(?:plus|\+\+|-\d{1,3})?: "
)
_REGISTER = re.compile(r"=(?!0x)")
_LINE = 300
_MARKS = "> |\t*_`~"
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
    "the log of a build": _BUILD.pattern,
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
    kvm, died = _message(_KVM, text, states), _message(_DIED, text, states)
    if not died.with_dump and _BUILD.search(text) and not _QEMUS_ASSERTION.match(died.line):
        died = _Message()  # what a build or its tests ran
    ended = _ended(text, kvm.at if kvm.line else states[-1], states) if kvm.line or states else ""
    ran = _RAN.search(text, 0, states[-1]) if states else None
    panic = _PANIC.search(text) or _CRASHED.search(text)
    return Words(
        kvm=kvm.line,
        died=died.line,
        kvm_with_dump=kvm.with_dump,
        died_with_dump=died.with_dump,
        then_died=ended,
        emulation="mulation failure" in text,
        status=_status(text),
        found_cpus=_FOUND.search(text) is not None,
        panic=_printable(panic[0]) if panic else "",
        ran=_printable(ran[0]) if ran else "",
    )


def foreign(text: str) -> Foreign:
    """Return what *text* is beside or instead of a dump of QEMU's x86 CPUs, by its beginning."""
    start = text[:_FOREIGN_WITHIN]
    return next((known for known, pattern in _FOREIGN if pattern.search(start)), Foreign())


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of QEMU's (empty: none), where it begins, and whether the state that QEMU prints after it is there."""

    line: str = ""
    at: int = -1
    with_dump: bool = False


def _ended(text: str, after: int, states: Sequence[int]) -> str:
    """Return what says after the offset *after* that QEMU died: its own message, or the shell's and libvirt's."""
    if said := _message(_DIED, text, states, after).line:
        return said
    end = _ENDED.search(text, after)
    return _printable(end[0]) if end else ""


def _message(pattern: re.Pattern[str], text: str, states: Sequence[int], start: int = 0) -> _Message:
    """Return the first message of *pattern* that is QEMU's own; one with its dump goes before one without (after a
    failed assertion QEMU prints none)."""
    alone = _Message()
    for match in pattern.finditer(text, start):
        said = text[match.start() : match.start() + _LINE].partition("\n")[0]
        begin = text.rfind("\n", max(0, match.start() - _LINE), match.start()) + 1
        before = text[begin or max(0, match.start() - _LINE) : match.start()]
        asserted = match.lastgroup == "asserted"
        line = _assertion(before + said) if asserted else said if _BEFORE.fullmatch(before) else ""
        if not line:
            continue
        line = _printable(line.strip(_MARKS))
        if not asserted and _has_dump(text, match.end(), states):
            return _Message(line, match.start(), with_dump=True)
        alone = alone if alone.line else _Message(line, match.start())
    return alone


def _has_dump(text: str, end: int, states: Sequence[int]) -> bool:
    """Whether a message that ends at *end* has its dump: the next state is near, and no other register between."""
    after = bisect_left(states, end)
    if after == len(states) or states[after] > end + _DUMP_REACH:
        return False
    return not _REGISTER.search(text, end, states[after])


def _assertion(line: str) -> str:
    """Return the part of *line* that reports a failed assertion of QEMU's own (else empty): the program's name stands
    before it, as the C library prints it, or it has GLib's form."""
    found = _LIBC_ASSERTION.search(line) or _GLIB_ASSERTION.search(line)
    return "" if found is None or _NOT_OF_QEMU.search(line) else line[found.start() :]


def _printable(line: str) -> str:
    shown = " ".join("".join(letter if letter.isprintable() else "?" for letter in line).split())
    return shown if len(shown) <= 120 else shown[:119] + "…"


def _status(text: str) -> str:
    """The last run state that QEMU told: ``running``, ``prelaunch``, ``internal-error``, plain ``paused``, …"""
    told = list(_STATUS.finditer(text))
    return told[-1][2] or told[-1][1] or told[-1][3] if told else ""
