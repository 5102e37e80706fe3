"""The kinds of reports that a kernel makes: how each begins and ends, and what kernel people call it (pure).

Titles follow syzbot's habit: the kind of bug, then the function that is to blame, without offsets, addresses, numbers
or names of tasks, so that two reports of one bug have one title. Layouts: mm/kasan/report.c, kernel/kcsan/report.c,
mm/kfence/report.c, lib/ubsan.c, kernel/panic.c (``__warn``; its first line changed in 6.19), kernel/locking/lockdep.c,
kernel/rcu/tree_stall.h, kernel/watchdog.c, kernel/hung_task.c, mm/oom_kill.c, as of Linux 6.1 to 6.19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ReportKind(StrEnum):
    """What a report is about."""

    KCSAN = "kcsan"
    KASAN = "kasan"
    KFENCE = "kfence"
    UBSAN = "ubsan"
    WARNING = "warning"
    BUG = "bug"
    LOCKDEP = "lockdep"
    RCU_STALL = "rcu-stall"
    SOFT_LOCKUP = "soft-lockup"
    HARD_LOCKUP = "hard-lockup"
    HUNG_TASK = "hung-task"
    KVM = "kvm"
    OOM = "oom"


Titler = Callable[[re.Match[str], Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class ReportRule:
    """One kind of report. ``begin`` matches the line that names it, ``end`` its last line (None: silence ends it, or
    the next report). ``most_level`` is the least urgent level at which ``begin`` counts. ``gathers``: lines that other
    CPUs print meanwhile belong to it."""

    kind: ReportKind
    begin: re.Pattern[str]
    title: Titler
    end: re.Pattern[str] | None = None
    most_level: int = 7
    gathers: bool = False


_FRAME = re.compile(r"\s*(?:RIP: 0010:)?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
_RIP = re.compile(r"RIP: 0010:([A-Za-z_][\w.]*)\+0x")
_AT = re.compile(r" at: ([A-Za-z_][\w.]*)\+0x")
_ACCESS = re.compile(r"(Read|Write) of size \d+ at addr ")
_COMPILERS = re.compile(r"\.(?:isra|constprop|part|cold|llvm)(?:\.\d+)*")
#: Functions that stand in a stack because a report is made, or that many callers share: not to blame.
_INNOCENT = re.compile(
    r"_*(?:dump_stack|show_stack|print_|report_bug|handle_bug|exc_|asm_|sysvec_|irqentry_|irq_(?:enter|exit)|nmi_|"
    r"kasan_|asan_|tsan_|kcsan_|kfence_|ubsan_|warn_|mem(?:cpy|set|move)|str[nl]?(?:len|cpy|cmp)|refcount_|"
    r"list_(?:add|del)_|might_|debug_smp|check_preemption|bad_page|spin_(?:bug|dump)|schedule|preempt_schedule|"
    r"io_schedule|context_switch|mutex_|rwsem_|(?:down|up)_(?:read|write)|wait_for_co|lock_(?:acquire|release)|"
    r"rt_mutex|raw_(?:spin|read|write)_|(?:native_)?queued_|rcu_|watchdog)"
)
_EQUALS = re.compile(r"={20,}$")
_END_TRACE = re.compile(r"---\[ end trace ")
_END_TASK = re.compile(r"\s*</TASK>")


def _function(name: str) -> str:
    return _COMPILERS.sub("", name.split("+")[0])


def _blamed(lines: Sequence[str], named: str = "") -> str:
    """Return ``" in f"``: *named* unless it is innocent, else the first frame that is not; nothing where all are."""
    names = [named] if named else [match[1] for line in lines if (match := _RIP.match(line))][:1]
    names += [match[1] for line in lines if (match := _FRAME.match(line))]
    guilty = next((name for name in map(_function, names) if not _INNOCENT.match(name)), "")
    return f" in {guilty}" if guilty else ""


def _kcsan(begin: re.Match[str], lines: Sequence[str]) -> str:
    what, _, where = begin[1].partition(" in ")
    functions = " / ".join(_function(each.split()[0]) for each in where.split(" / ") if each.split())
    return f"KCSAN: {what}" + (f" in {functions}" if functions else "")


def _kasan(begin: re.Match[str], lines: Sequence[str]) -> str:
    access = next((f" {match[1]}" for line in lines if (match := _ACCESS.match(line))), "")
    return f"KASAN: {begin[1]}{access}{_blamed(lines, begin[2])}"


def _named(prefix: str) -> Titler:
    """Group 1 says what, group 2 where."""
    return lambda begin, lines: f"{prefix}{begin[1]}{_blamed(lines, begin[2])}"


def _fixed(title: str) -> Titler:
    return lambda begin, lines: title + _blamed(lines)


def _lockdep(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = begin[1].rstrip("!").removesuffix(" detected")
    at = next((match[1] for line in lines if (match := _AT.search(line))), "")
    if what.startswith("possible ") or what.endswith("lock order"):
        return f"possible deadlock{_blamed(lines, at)}"
    prefix = "" if what == "inconsistent lock state" else "WARNING: "
    return f"{prefix}{what}{_blamed(lines, '' if 'RCU' in what else at)}"


def _oops(begin: re.Match[str], lines: Sequence[str]) -> str:
    null = "NULL pointer dereference" in begin[0]
    return f"BUG: unable to handle kernel {'NULL pointer dereference' if null else 'paging request'}{_blamed(lines)}"


def _bug(begin: re.Match[str], lines: Sequence[str]) -> str:
    what = re.split(r": | at | in process | on CPU| - |, |\[|  ", begin[1])[0].strip()
    return f"BUG: {what}{_blamed(lines)}"


def _oom(begin: re.Match[str], lines: Sequence[str]) -> str:
    victim = next((match[2] for line in lines if (match := KILLED.match(line))), "")
    return f"Out of memory: Killed process ({victim})" if victim else "Out of memory"


def _kvm(begin: re.Match[str], lines: Sequence[str]) -> str:
    return "kvm: " + re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", "N", begin[1])[:160]


#: The line that names whom the out-of-memory killer killed.
KILLED = re.compile(r"(?:Memory cgroup )?[Oo]ut of memory.*: Killed process (\d+) \((.*?)\)")

#: In this order: the first whose ``begin`` is found in a line makes the report.
RULES: tuple[ReportRule, ...] = (
    ReportRule(ReportKind.KCSAN, re.compile(r"BUG: KCSAN: (.+)"), _kcsan, _EQUALS),
    ReportRule(ReportKind.KASAN, re.compile(r"BUG: KASAN: (\S.*?) in (\S+)"), _kasan, _EQUALS),
    ReportRule(ReportKind.KFENCE, re.compile(r"BUG: KFENCE: (\S.*?) in (\S+)"), _named("KFENCE: "), _EQUALS),
    ReportRule(
        ReportKind.UBSAN, re.compile(r"UBSAN: (\S.*?) in \S+:\d+"),
        lambda begin, lines: f"UBSAN: {begin[1]}{_blamed(lines)}", re.compile(r"---\[ end trace |={20,}$"),
    ),
    ReportRule(
        ReportKind.SOFT_LOCKUP, re.compile(r"(?:\w+ )?watchdog: BUG: soft lockup - CPU#\d+ stuck"),
        _fixed("BUG: soft lockup"), gathers=True,
    ),
    ReportRule(
        ReportKind.HARD_LOCKUP, re.compile(r"(?:\w+ )?watchdog: (?:CPU\d+: )?Watchdog detected hard LOCKUP on cpu"),
        _fixed("hard LOCKUP"), gathers=True,
    ),
    ReportRule(
        ReportKind.RCU_STALL, re.compile(r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stalls? on"),
        _fixed("INFO: rcu detected stall"), gathers=True,
    ),
    ReportRule(
        ReportKind.HUNG_TASK, re.compile(r"INFO: task .+:\d+ .*for more than \d+ seconds"),
        _fixed("INFO: task hung"), gathers=True,
    ),
    ReportRule(
        ReportKind.LOCKDEP,
        re.compile(
            r"WARNING: (possible .*lock.* detected|.*-> .*lock order detected|inconsistent lock state|"
            r"bad unlock balance detected!|held lock freed!|suspicious RCU usage|"
            r"lock held when returning to user space!|nested lock was not taken|.* still has locks held!)"
        ),
        _lockdep, _END_TASK,
    ),
    ReportRule(ReportKind.BUG, re.compile(r"kernel BUG at (\S+)!"), _fixed("kernel BUG"), _END_TRACE),
    ReportRule(
        ReportKind.BUG, re.compile(r"BUG: (?:unable to handle|kernel NULL pointer dereference)"), _oops, _END_TRACE,
    ),
    ReportRule(
        ReportKind.BUG, re.compile(r"(?:Oops: )?general protection fault[,:]"),
        _fixed("general protection fault"), _END_TRACE,
    ),
    ReportRule(
        ReportKind.WARNING,
        re.compile(
            r"WARNING: (?:CPU: \d+ PID: \d+ at (?:\S+:\d+ )?|(?:\[.*\] )?(?:\S+:\d+ )?at )([A-Za-z_][\w.]*)"
        ),
        lambda begin, lines: f"WARNING{_blamed(lines, begin[1])}", _END_TRACE,
    ),
    ReportRule(ReportKind.BUG, re.compile(r"BUG: (.+)"), _bug, re.compile(r"---\[ end trace |\s*</TASK>")),
    ReportRule(ReportKind.OOM, re.compile(r".{1,40} invoked oom-killer: "), _oom, KILLED),
    ReportRule(ReportKind.OOM, KILLED, _oom, KILLED),
    ReportRule(ReportKind.KVM, re.compile(r"kvm\w*(?: \[\d+\])?: (\S.*)"), _kvm, re.compile(""), most_level=4),
)  # fmt: skip

_ANY = re.compile("|".join(f"(?:{rule.begin.pattern})" for rule in RULES))


def begins(level: int, text: str) -> ReportRule | None:
    """Return the rule of the report that *text*, a line at *level*, begins."""
    if not _ANY.match(text):  # nearly every line, and there may be 100,000 at once
        return None
    return next((rule for rule in RULES if level <= rule.most_level and rule.begin.match(text)), None)


def title(rule: ReportRule, lines: Sequence[str]) -> str:
    """Return what a report of *rule* with these *lines* is called."""
    begin = next(match for line in lines if (match := rule.begin.match(line)))
    return rule.title(begin, lines)
