"""Which function of a report's stack tells its bug from others (pure).

Most frames above it say only that a report is made (a sanitizer, lockdep, a trap) or belong to helpers that half of
the kernel calls (locks, lists, copies, allocators): thousands of bugs pass through these. What counts is the first
frame that is neither. Function names: Linux 5.10 to 6.19.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_STACK = re.compile(r"\s*(?:Call trace|(?:stack )?backtrace\b.*):", re.IGNORECASE)
_FRAME = re.compile(r"\s*(?:\[<[0-9a-f]+>\] )?(?:RIP: [0-9a-f]+:)?([A-Za-z_][\w.]*)\+0x[0-9a-f]+")
_RIP = re.compile(r"[RE]?IP: (?:[0-9a-f]+:)?(?:\[<[0-9a-f]+>\] +){0,2}([A-Za-z_][\w.]*)\+0x")
_IRQ = re.compile(r"\s*<(/?)(?:IRQ|NMI|SOFTIRQ|#\w+)>")
_COMPILERS = re.compile(r"(?:\.(?:isra|constprop|part|cold|llvm|lto_priv)(?:\.\d+)*|\.\d+)+$")
_SYSCALL = re.compile(r"^(?:__(?:x64|ia32|arm64)_|__(?:se|do)_(?:compat_)?sys_|_*sys_|ksys_|SYSC_|SyS_)(?=\w)")

#: Names, or how they begin, of whatever is never the bug itself; underscores before them do not count.
_MACHINERY = re.compile(
    r"_*(?:"
    # what prints a report, and the traps on the way to it
    r"(?:dump|show|print|warn|perf_trace|stack_trace|sched_show|trigger)_|warn$|trace_(?:hard|soft|irq|preempt|event|call|raw)|"
    r"(?:arch_|walk_|unwind_)\w*(?:stack|trace|frame)|v?panic|v?printk|dev_(?:v?printk|info|notice|warn|err)|report_bug|"
    r"(?:handle|fixup)_(?:bug|overflow)|die(?:_|$)|oops|(?:exc|asm|sysvec|irqentry|idtentry)_|nmi_(?:handle|panic|cpu_back|trigger|stack)|umount_check|d_walk|(?:do_)?(?:error_)?traps?(?:_|$)|"
    r"do_(?:invalid_op|int3|general_protection|(?:async_)?page_fault|(?:user|kern)_addr_fault)|page_fault|invalid_op|int3|"
    r"general_protection|error_(?:entry|exit)|no_context|bad_(?:area|page)|(?:smp_)?(?:apic|common|call_function)\w*interrupt|"
    r"irq_(?:enter|exit)|ret(?:_from_intr|int)|handle_irq|watchdog|hard_?lockup|ex_handler|fortify|stack_chk|assert?fail|rust_(?:helper|panic)|"
    # sanitizers; lockdep, object and list debugging
    r"k?[acm]san|tsan|hwasan|kfence|kcov|ubsan|sanitizer|write_comp_data|memory_is|"
    r"check_(?:deadlock|noncirc|prev|irq|chain|wait|path|object|bytes|slab|preemption|memory|heap|stack)|"
    r"debug_(?:object|check|print|lock|smp|spin|mutex|rt|exception)|mark_(?:lock|held|usage|irq)|validate_(?:chain|slab)|"
    r"lockdep|hlock|lock_(?:acquire|release|is|hold|pin|class|set|down|contended|sock|timer|page)|(?:un)?lock_page|unlock_|"
    r"(?:re)?acquire_held|held_lock|register_lock|look_up_lock|assign_lock|add_(?:chain|lock)|find_(?:usage|held|lock)|usage_match|"
    r"valid_state|\w*usage_bug|\w*imbalance|save_trace|downgrade_|seqprop|object_err|slab|on_freelist|restore_bytes|"
    r"(?:free|alloc)_(?:debug|consistency)|\w*_is_static_object|(?:list|hlist|llist|klist|rb|xas|kref|refcount|ref_tracker|ida)_|"
    r"(?:spin|rwlock)_(?:bug|dump)|(?:might|cant)_|this_cpu_preempt|preempt_|schedule_debug|usercopy|get_taint|"
    # locks, atomics, work, timers, waiting, idling
    r"(?:(?:do|raw|native|arch|task)_)*(?:spin|read|write|raw|bit)_(?:try|un)?(?:lock|rq)(?:_|$)|task_rq_lock|(?:native_|pv_)?queued_|osq_|owner_on|"
    r"(?:ww_|rt_|percpu_)?(?:mutex|rwsem|rwbase)|rt_?spin|task_blocks_on|try_to_take_rt|(?:down|up)(?:_|$)|ldsem_|"
    r"local_(?:lock|unlock|bh)|bh_(?:en|dis)able|(?:raw_|arch_)?atomic|instrument_|(?:test|set|clear|change)_bit|test_and_|"
    r"cmpxchg|xchg|csd_|smp_call|on_each_cpu|(?:io_|preempt_)?schedule|context_switch|switch_to|wake_up|do_wait_for|"
    r"wait_for_com|complete(?:_all|_on)?$|finish_wait|rcu_|call_rcu|synchronize_|cleanup_srcu|queue_work|process_one_work|"
    r"(?:flush|cancel|drain|destroy|insert|delayed)_\w*work|try_to_grab|(?:del|mod|init|add|try_to_del|lock)_timer|timer_delete|"
    r"kthread|worker_thread|ret_from_fork|hrtimer|tick_|update_process_times|(?:pv_|arch_|native_)*(?:safe_)?halt$|kvm_wait|pv_wait|"
    r"(?:native|paravirt|do_trace)_\w*msr|default_idle|do_idle|cpu_?idle|cpu_startup|intel_idle|acpi_idle|mwait|start_secondary|secondary_startup|"
    # memory, strings, checksums, the driver core
    r"mem(?:cpy|set|move|cmp|chr|dup|scan|zero)|str(?:n|l|s|sc)?(?:len|cpy|cmp|chr|dup|str|cat)|v?s(?:c|n)+printf|k?v?asprintf|"
    r"k(?:str|mem)dup|va_format|string(?:_nocheck)?$|pointer$|hex_|(?:\w*_)?[kvm]*[mzc]alloc|alloc_(?:page|frozen|skb)|k?v?realloc|"
    r"kmem_cache|(?:de)?activate_slab|new_slab|allocate_slab|folio_(?:alloc|unlock)|(?:k|v|kv)?free(?:_sensitive|_skb\w*|_rcu)?$|"
    r"free_(?:page|unref|large|one|pcp)|\w*_free_page|vunmap|copy_(?:to|from|in|out|user|page|folio|mc)|copy(?:in|out)|raw_copy|"
    r"(?:get|put)_user|read_word|\w*_once_\w*nocheck|(?:read|write)[bwlq]$|x86_indirect|crc|csum|phys_addr|"
    r"(?:kobject|sysfs|devres|device)_|add_uevent|(?:get|put)_device|iput|ihold|drop_nlink|(?:fast_)?dput|skb_(?:\w*panic|push|pull|put)$"
    r")"
)  # fmt: skip
#: What a task does that waits, whatever for.
WAITING = re.compile(
    r"sched|_lock|lock$|slow|^_*down|rwsem|complet|kthread|wait|synchronize|switch|cancel_|barrier|flush_|^ret_from|"
    r"^entry_|^do_syscall"
)
#: What allocates memory, whatever for.
ALLOCATING = re.compile(r"alloc|_dup|dup$|_cache_|list_lru|_new$|get_free")


def function_name(name: str) -> str:
    """Return a symbol's name as its source has it: without what compilers and system call wrappers add."""
    return _SYSCALL.sub("", _COMPILERS.sub("", name.split("+")[0]))


def telling_frame(
    lines: Sequence[str], named: str = "", *, rip: bool = True, besides: re.Pattern[str] | None = None
) -> str:
    """Return the function that tells the bug of a report with *lines* from others; empty where no frame does.

    :param named: what the report's first line names, which is looked at first.
    :param rip: whether where the CPU stood comes before the stack.
    :param besides: frames that match it do not count either.
    """
    at = next((match[1] for line in lines if (match := _RIP.search(line))), "") if rip else ""
    begin = next((place for place, line in enumerate(lines) if _STACK.match(line)), 0)
    names = [name for name in (named, at) if name]
    names += [match[1] for line in lines[begin:] if (match := _FRAME.match(line))]
    for name in map(function_name, names):
        if name and not _MACHINERY.match(name) and not (besides and besides.search(name)):
            return name
    return function_name(at)


def without_interrupts(lines: Sequence[str]) -> list[str]:
    """Return *lines* without the frames of interrupts in their stacks, which only asked the CPU what it does."""
    kept: list[str] = []
    inside = False
    for line in lines:
        if match := _IRQ.match(line):
            inside = not match[1]
        elif not inside:
            kept.append(line)
    return kept
