"""The kinds of reports that a kernel makes: how each begins and ends, and what kernel people call it (pure).

Titles follow syzbot's habit: the kind of bug, then the function that tells it from others, without offsets,
addresses, numbers or names of tasks, so that two reports of one bug have one title. Layouts: mm/kasan/report.c,
kernel/kcsan/report.c, mm/kfence/report.c, mm/slub.c, lib/ubsan.c, kernel/panic.c (``__warn``; its first line changed in
6.19), kernel/locking/lockdep.c, arch/x86/kernel/traps.c and dumpstack.c (``Oops:`` before the trap from 6.10 on),
kernel/rcu/tree_stall.h, kernel/watchdog.c, kernel/hung_task.c, mm/oom_kill.c, as of Linux 5.10 to 6.19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from qstress.hostlog.frames import ALLOCATING, WAITING, function_name, telling_frame, without_interrupts


class ReportKind(StrEnum):
    """What a report is about."""

    KCSAN = "kcsan"
    KASAN = "kasan"
    KMSAN = "kmsan"
    KFENCE = "kfence"
    UBSAN = "ubsan"
    WARNING = "warning"
    BUG = "bug"
    PANIC = "panic"
    LOCKDEP = "lockdep"
    RCU_STALL = "rcu-stall"
    SOFT_LOCKUP = "soft-lockup"
    HARD_LOCKUP = "hard-lockup"
    HUNG_TASK = "hung-task"
    KMEMLEAK = "kmemleak"
    KVM = "kvm"
    OOM = "oom"


Titler = Callable[[re.Match[str], Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class ReportRule:
    """One kind of report. ``begin`` matches the line that names it, ``end`` its last line (None: silence ends it, or
    the next report). ``most_level`` is the least urgent level at which ``begin`` counts. ``gathers``: lines that other
    CPUs print meanwhile belong to it. ``follows``: it is part of a report of its kind that is under way (a panic: of
    any, or of one just made), if there is one.
    """

    kind: ReportKind
    begin: re.Pattern[str]
    title: Titler
    end: re.Pattern[str] | None = None
    most_level: int = 7
    gathers: bool = False
    follows: bool = False


_AT = re.compile(r"\bat: (?:\[<[0-9a-f]+>\] )?([A-Za-z_][\w.]*)\+0x")
_RELEASED_AT = re.compile(r"(?:\[<[0-9a-f]+>\] )?([A-Za-z_][\w.]*)\+0x")
_ACCESS = re.compile(r"(Read|Write) of size \d+ ")
_EQUALS = r"={20,}$"
_END_TRACE = r"---\[ end trace "
_END_STACK = r"---\[ end trace |\s*</TASK>"
_AT_ONCE = ""  # a report of one line
#: What differs between two reports of one bug: addresses, numbers of their own, and those of vCPUs and CPUs. A number
#: in a name (``L1TF``, ``CVE-2018-3646``, ``kmalloc-128``) is part of it.
_DIFFERS = re.compile(
    r"0x[0-9a-fA-F]+|\(ptrval\)|\(____ptrval____\)|\b(?=[a-f]*\d)[0-9a-f]{8,16}\b|(?<=vcpu)\d+|(?<=CPU)\d+|(?<=CPU#)\d+|"
    r"(?<![\w.-])-?\d+(?:\.\d+)*(?![\w-])"
)
_WARNED_IN = {
    "lib/refcount.c": "WARNING: refcount bug",
    "lib/debugobjects.c": "WARNING: ODEBUG bug",
    "lib/kobject.c": "WARNING: kobject bug",
    "mm/usercopy.c": "WARNING: bad usercopy",
    "kernel/locking/lockdep.c": "WARNING: locking bug",
}
_LOCKDEP_SAYS = {"inconsistent lock state": "", "Invalid wait context": "BUG: ",
                 "trying to register non-static key": "INFO: "}  # fmt: skip
_DIED_IN = {"lib/list_debug.c": "BUG: corrupted list", "mm/usercopy.c": "BUG: bad usercopy"}


def _in(function: str) -> str:
    return f" in {function}" if function else ""


def _plain(text: str) -> str:
    """Return *text* without what differs between two reports of one bug."""
    return _DIFFERS.sub("N", text)


def _kcsan(begin: re.Match[str], lines: Sequence[str]) -> str:
    what, _, where = begin[1].partition(" in ")
    functions = " / ".join(function_name(each.split()[0]) for each in where.split(" / ") if each.split())
    return f"KCSAN: {what}{_in(functions)}"


def _kasan(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = "invalid-free" if begin[1].endswith("invalid-free") else begin[1]
    access = next((f" {match[1]}" for line in lines if (match := _ACCESS.match(line))), "")
    return f"KASAN: {what}{access}{_in(telling_frame(lines, begin[2], rip=False))}"


def _called(title: str, *, rip: bool = False, frame: bool = True) -> Titler:
    """Return what says *title*, ``{}`` in it standing for what ``begin`` has found, and the function, unless *frame*
    is false; *rip*: it may be where the CPU stood."""

    def say(begin: re.Match[str], lines: Sequence[str]) -> str:
        named = begin.groupdict().get("function") or ""
        said = title.format(*(_plain(group) for group in begin.groups("")))
        return said + (_in(telling_frame(lines, named, rip=rip)) if frame else "")

    return say


def _stalled(title: str) -> Titler:
    def say(begin: re.Match[str], lines: Sequence[str]) -> str:
        return title + _in(telling_frame(without_interrupts(lines)) or telling_frame(lines))

    return say


def _hung(begin: re.Match[str], lines: Sequence[str]) -> str:
    how = "can't die" if "can't die" in begin[0] else "hung"
    frame = telling_frame(lines, rip=False, besides=WAITING) or telling_frame(lines, rip=False)
    return f"INFO: task {how}{_in(frame)}"


def _lockdep(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = re.sub(r"(?: detected)?[!.]* ?\]?$", "", begin["what"]).strip()
    at = next((match[1] for line in lines if (match := _AT.search(line))), "")
    for place, line in enumerate(lines[:-1]):
        if line.rstrip().endswith(" at:") and (match := _RELEASED_AT.match(lines[place + 1])):
            at = match[1]
    if what.startswith("possible ") or what.endswith("lock order"):
        return f"possible deadlock{_in(telling_frame(lines, at, rip=False))}"
    if what.endswith("still has locks held"):
        what = "still has locks held"
    if "RCU" in what or "rcu_dereference" in what:
        what, at = "suspicious RCU usage", ""
    what = "nested lock was not taken" if what.startswith("Nested") else what
    return f"{_LOCKDEP_SAYS.get(what, 'WARNING: ')}{what}{_in(telling_frame(lines, at, rip=False))}"


def _oops(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = "NULL pointer dereference" if "NULL pointer dereference" in begin.string else "paging request"
    return f"BUG: unable to handle kernel {what}{_in(telling_frame(lines))}"


def _trap(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = re.sub(r"^segment-related | for .*| or .*", "", begin["trap"].replace("_", " "))
    names = {"stack segment": "stack segment fault", "Oops": "BUG: unable to handle kernel paging request"}
    return f"{names.get(what, what)}{_in(telling_frame(lines))}"


def _died(begin: re.Match[str], lines: Sequence[str]) -> str:
    return f"{_DIED_IN.get(begin['file'], 'kernel BUG')}{_in(telling_frame(lines))}"


def _warned(begin: re.Match[str], lines: Sequence[str]) -> str:
    file, function = (begin["file"] or "").removeprefix("./"), begin["function"] or ""
    allocates = file.startswith("mm/") and re.match(r"_*k\w*alloc", function)
    what = "WARNING: kmalloc bug" if allocates else _WARNED_IN.get(file, "WARNING")
    frame = telling_frame(lines, function)
    return f"{what} at {file}" if what == "WARNING" and file and not frame else what + _in(frame)


def _leaked(begin: re.Match[str], lines: Sequence[str]) -> str:
    last = next((match[1] for line in lines if (match := re.search(r"last function: (\w+)", line))), "")
    return f"BUG: workqueue leaked lock or atomic{_in(last or telling_frame(lines, rip=False))}"


def _ubsan(begin: re.Match[str], lines: Sequence[str]) -> str:
    return f"UBSAN: {begin[1].lower().replace(' ', '-')}{_in(telling_frame(lines, rip=False))}"


def _leaked_memory(begin: re.Match[str], lines: Sequence[str]) -> str:
    return f"memory leak{_in(telling_frame(lines, rip=False, besides=ALLOCATING))}"


def _bug(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = re.split(r": \S+/\d+| in process | on CPU#| by .*/\d+|, \S+/\d+|  ", begin[1])[0].rstrip(" :")
    if what.endswith("too low!"):
        return f"BUG: {what}"
    return f"BUG: {_plain(what.rstrip('!'))}{_in(telling_frame(lines, rip=False))}"


def _panic(begin: re.Match[str], lines: Sequence[str]) -> str:
    why = re.sub(r" exitcode=.*| \.\.\.$", "", begin[1])
    if match := re.search(r"stack is corrupted in: (?:([A-Za-z_][\w.]*)\+0x)?", why):
        return f"kernel panic: stack is corrupted{_in(telling_frame(lines, match[1] or ''))}"
    if why.startswith("corrupted stack end"):
        return f"kernel panic: corrupted stack end{_in(telling_frame(lines))}"
    return f"kernel panic: {_plain(why)}"


def _oom(begin: re.Match[str], lines: Sequence[str]) -> str:
    victim = next((match[2] for line in lines if (match := KILLED.match(line))), "")
    return f"Out of memory: Killed process ({victim})" if victim else "Out of memory"


def _kvm(begin: re.Match[str], lines: Sequence[str]) -> str:
    return f"kvm: {_plain(begin[1])[:160]}"


#: The line that names whom the out-of-memory killer killed.
KILLED = re.compile(r"(?:Memory cgroup )?[Oo]ut of memory.*: Killed process (\d+) \((.*?)\)")
_KVM_LINE = re.compile(r"(?:KVM: )?(?:kvm(?:_intel|_amd)?(?: \[\d+\])?|KVM(?:[:_ ]*(?:VMX|SVM|vmx|svm))?): (\S.*)")
#: What KVM tells the administrator of this host: worth knowing, nothing has gone wrong.
_ADVICE = re.compile(
    r"unstable TSC|CPU bug present and SMT on|disabled \(?(?:by|in) (?:the )?bios|already loaded|"
    r"emulating exchange as write|no hardware support|not supported|is not a supported",
    re.IGNORECASE,
)
#: What it says when it begins and ends, and of guests' habits.
_CHATTER = re.compile(
    r"nested |supported$|enabled|version \d|using |ignored (?:rd|wr)msr|disabled perfctr|DEBUGCTL|, nop$|TSC rate|"
    r"lapic timer period|exiting hardware virt|loaded|taint|zapping shadow pages",
    re.IGNORECASE,
)
#: Words of a complaint, for logs that do not tell levels.
_COMPLAINT = re.compile(
    r"unexpected|unhandled|fail|error|invalid|corrupt|stuck|overflow|\bbad\b|\bbug\b", re.IGNORECASE
)


def _rule(
    kind: ReportKind, begin: str | re.Pattern[str], title: str | Titler, end: str | re.Pattern[str] | None = None,
    *, rip: bool = False, frame: bool = True, most_level: int = 7, gathers: bool = False, follows: bool = False,
) -> ReportRule:  # fmt: skip
    """Return a rule; a *title* that is text is made by :func:`_called`, to which *rip* and *frame* go."""
    titler = _called(title, rip=rip, frame=frame) if isinstance(title, str) else title
    last = None if end is None else re.compile(end)
    return ReportRule(kind, re.compile(begin), titler, last, most_level, gathers, follows)


#: In this order: the first whose ``begin`` is found in a line makes the report.
RULES: tuple[ReportRule, ...] = (
    _rule(ReportKind.KCSAN, r"BUG: KCSAN: (.+)", _kcsan, _EQUALS),
    _rule(ReportKind.KASAN, r"BUG: KASAN: (\S.*?) (?:in|on address) (\S+)", _kasan, _EQUALS),
    _rule(ReportKind.KMSAN, r"BUG: KMSAN: (\S+) in (?P<function>\S+)", "KMSAN: {0}", _EQUALS),
    _rule(ReportKind.KFENCE, r"BUG: KFENCE: (\S.*?) in (?P<function>\S+)", "KFENCE: {0}", _EQUALS),
    _rule(ReportKind.UBSAN, r"UBSAN: (\S.*?) in \S+:\d+", _ubsan, r"---\[ end trace |={20,}$"),
    _rule(
        ReportKind.SOFT_LOCKUP, r"(?:(?:NMI )?watchdog: )?BUG: soft lockup", _stalled("BUG: soft lockup"),
        gathers=True,
    ),
    _rule(
        ReportKind.HARD_LOCKUP, r"(?:(?:NMI )?watchdog: )?(?:CPU\d+: |BUG: )?[Ww]atchdog detected hard LOCKUP",
        _stalled("hard LOCKUP"), gathers=True,
    ),
    _rule(
        ReportKind.RCU_STALL,
        r"(?:rcu\w*: )*(?:INFO: )?rcu\w*(?: kthread)? (?:self-)?detected (?:expedited )?stalls?\b",
        _stalled("INFO: rcu detected stall"), gathers=True,
    ),
    _rule(ReportKind.HUNG_TASK, r"INFO: task .+:\d+ .*for more than \d+ seconds", _hung, gathers=True),
    _rule(
        ReportKind.LOCKDEP,
        r"(?:\[ )?(?:WARNING|BUG|INFO): (?P<what>possible .*lock.* detected|.*-> .*lock order detected|"
        r"inconsistent lock state|bad unlock balance detected!|bad contention detected!|held lock freed!|"
        r"suspicious RCU usage.*|suspicious rcu_dereference\w*\(\) usage.*|lock held when returning to user space!|"
        r"[Nn]ested lock was not taken|.* still has locks held!|Invalid wait context|"
        r"trying to register non-static key)",
        _lockdep, r"\s*</TASK>",
    ),
    _rule(ReportKind.BUG, r"kernel BUG at (?P<file>\S+?):\d+!", _died, _END_TRACE),
    _rule(ReportKind.BUG, r"kernel BUG at (?P<file>\S+)!", _died, _END_TRACE),
    _rule(ReportKind.BUG, r"BUG: (?:[Uu]nable to handle|[Kk]ernel NULL pointer dereference)", _oops, _END_TRACE),
    _rule(ReportKind.BUG, r"(?:traps: )?PANIC: double fault", "PANIC: double fault", _END_TRACE, rip=True),
    _rule(
        ReportKind.BUG,
        r"(?:traps: )?(?:Oops: )*(?P<trap>[a-z][a-z_ 0-9#'-]*?)(?:[,(] ?[^\[]*)?: [0-9a-f]{4,8} \[#\d+\]",
        _trap, _END_TRACE, follows=True,
    ),
    _rule(
        ReportKind.BUG, r"(?:Oops: )*(?P<trap>Oops|general protection fault)[:,] .*\[#\d+\]", _trap, _END_TRACE,
        follows=True,
    ),
    _rule(ReportKind.BUG, r"WARNING: .* umount_check\+0x", "BUG: Dentry still in use", _END_TRACE, follows=True),
    _rule(
        ReportKind.WARNING,
        r"WARNING: (?:CPU: \d+ PID: \d+ )?(?:at )?(?:\[.*\] )?(?:at )?(?:(?P<file>[^\s:]+\.[chS]):\d+ ?)?(?:at )?"
        r"(?:(?P<function>[A-Za-z_][\w.]*)\+0x|\[?<?(?:0x)?[0-9a-f]+>?\]?(?:,|$| ))",
        _warned, _END_TRACE,
    ),
    _rule(
        ReportKind.WARNING, r"WARNING: kernel stack (regs|frame pointer) at +\S+ in .+ has bad (?:'\w+' )?value",
        "WARNING: kernel stack {0} has bad value", _END_STACK, frame=False,
    ),
    _rule(
        ReportKind.WARNING, r"unchecked MSR access error: \S+ (?:from|to) 0x\w+ .*at rIP: \S+ \((?P<function>\w+)",
        "unchecked MSR access error", _END_STACK,
    ),
    _rule(ReportKind.KMEMLEAK, r"BUG: memory leak", _leaked_memory),
    _rule(ReportKind.BUG, r"BUG: workqueue lockup", "BUG: workqueue lockup", frame=False),
    _rule(ReportKind.BUG, r"BUG: workqueue leaked", _leaked, _END_STACK),
    _rule(ReportKind.BUG, r"BUG: Bad rss-counter", "BUG: Bad rss-counter state", _AT_ONCE, frame=False),
    _rule(
        ReportKind.BUG, r"BUG: non-zero (\w+) on freeing mm", "BUG: non-zero {0} on freeing mm", _AT_ONCE, frame=False
    ),
    _rule(ReportKind.BUG, r"BUG: Bad page map", "BUG: Bad page map", _END_STACK, frame=False),
    _rule(ReportKind.BUG, r"BUG: Dentry .* still in use", "BUG: Dentry still in use", _END_TRACE, rip=True),
    _rule(
        ReportKind.BUG, r"BUG: (?:\w+ )?stack guard page was hit", "BUG: stack guard page was hit", _END_TRACE, rip=True
    ),
    _rule(ReportKind.BUG, r"BUG: scheduling while atomic", "BUG: scheduling while atomic", _END_STACK),
    _rule(
        ReportKind.BUG, r"BUG: sleeping function called from invalid context",
        "BUG: sleeping function called from invalid context", _END_STACK,
    ),
    _rule(ReportKind.BUG, r"BUG: using (\w+\(\)) in preemptible", "BUG: using {0} in preemptible code", _END_STACK),
    _rule(ReportKind.BUG, r"BUG (\S+) \((?:Not t|T)ainted.*?\): (\S.*)", "BUG {0}: {1}", _END_STACK, frame=False),
    _rule(ReportKind.BUG, r"BUG: (\S.*)", _bug, _END_STACK),
    _rule(
        ReportKind.BUG, r"unregister_netdevice: waiting for \S+ to become free",
        "unregister_netdevice: waiting for DEV to become free", _AT_ONCE, frame=False,
    ),
    _rule(
        ReportKind.BUG, r"VFS: (Busy inodes after unmount|Close: file count is 0)", "VFS: {0} (use-after-free)",
        _AT_ONCE, frame=False,
    ),
    _rule(ReportKind.PANIC, r"Kernel panic - not syncing: (.*)", _panic, r"---\[ end Kernel panic", follows=True),
    _rule(ReportKind.OOM, r".{1,40} invoked oom-killer: ", _oom, KILLED),
    _rule(ReportKind.OOM, KILLED, _oom, KILLED),
    _rule(
        ReportKind.KVM, r"(?:kvm_(?:intel|amd): )?(VMC[SB]) \S+, last attempted (VM\S+) on CPU",
        "kvm: {1} failed: {0} dumped", frame=False, most_level=4,
    ),
    _rule(ReportKind.KVM, _KVM_LINE, _kvm, _AT_ONCE, most_level=4, follows=True),  # one line, or one of a dump
)  # fmt: skip

_ANY = re.compile("|".join(re.sub(r"\?P<\w+>", "", f"(?:{rule.begin.pattern})") for rule in RULES))


def is_advice(text: str) -> bool:
    """Whether *text* is what KVM advises the administrator: a note, no complaint of something gone wrong."""
    found = _ADVICE.search(text)
    return found is not None and (found[0].startswith("CPU bug") or _KVM_LINE.match(text) is not None)


def begins(level: int, text: str) -> ReportRule | None:
    """Return the rule of the report that *text*, a line at *level* (-1: unknown), begins."""
    if not _ANY.match(text):  # nearly every line, and there may be 100,000 at once
        return None
    rule = next((rule for rule in RULES if level <= rule.most_level and rule.begin.match(text)), None)
    if rule is not None and rule.begin is _KVM_LINE:
        complains = level >= 0 or _COMPLAINT.search(text) is not None
        return rule if complains and not (_ADVICE.search(text) or _CHATTER.search(text)) else None
    return rule


def report_title(rule: ReportRule, lines: Sequence[str]) -> str:
    """Return what a report of *rule* with these *lines* is called."""
    begin = next(match for line in lines if (match := rule.begin.match(line)))
    return rule.title(begin, lines)
