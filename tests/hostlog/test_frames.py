from __future__ import annotations

import pytest

from qstress.hostlog.frames import ALLOCATING, WAITING, function_name, telling_frame, without_interrupts


def stack(*names: str) -> list[str]:
    return ["Call Trace:", " <TASK>", *(f" {name}+0x1f/0x90 [kvm]" for name in names), " </TASK>"]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("walk.constprop.0", "walk"), ("walk.isra.0.cold+0x12", "walk"), ("walk.llvm.123", "walk"),
        ("__x64_sys_ioctl", "sys_ioctl"), ("__do_sys_ioctl", "ioctl"), ("sys_ioctl", "ioctl"),
        ("kvm_sys_x", "kvm_sys_x"),
    ],
)  # fmt: skip
def test_a_function_is_called_as_in_its_source(name: str, function: str) -> None:
    assert function_name(name) == function


@pytest.mark.parametrize(
    "machinery",
    [
        ("dump_stack_lvl", "lockdep_rcu_suspicious"), ("print_circular_bug", "__lock_acquire", "lock_acquire"),
        ("do_raw_spin_lock", "_raw_spin_lock_irqsave"), ("__kasan_check_read", "kasan_report", "__asan_load8"),
        ("refcount_warn_saturate",), ("__warn", "report_bug", "exc_invalid_op", "asm_exc_invalid_op"),
        ("__might_resched", "mutex_lock_nested"), ("memcpy", "_copy_from_user"), ("__list_add_valid_or_report",),
        ("kmem_cache_alloc_noprof", "___slab_alloc"), ("rcu_read_lock_held", "debug_object_active_state"),
        ("check_preemption_disabled", "__this_cpu_preempt_check"), ("__schedule_bug", "__schedule", "schedule_timeout"),
        ("native_queued_spin_lock_slowpath", "queued_write_lock_slowpath"), ("smp_call_function_many_cond",),
    ],
)  # fmt: skip
def test_the_first_frame_that_is_no_machinery_tells(machinery: tuple[str, ...]) -> None:
    assert telling_frame(stack(*machinery, "memslot_walk", "kvm_vm_ioctl"), rip=False) == "memslot_walk"


@pytest.mark.parametrize(
    "name",
    ["mark_page_dirty_in_slot", "complete_emulated_io", "ioapic_write_locked", "halt_poll", "check_nested_state",
     "nmi_window", "kvm_arch_vcpu_load", "kick_all", "rmap_walk_host", "trace_kvm_exit_late", "flush_remote",
     "track_write"],
)  # fmt: skip
def test_functions_of_kvm_whose_names_look_like_machinery_tell(name: str) -> None:
    assert telling_frame(stack("dump_stack", name), rip=False) == name


def test_what_the_first_line_names_and_where_the_cpu_stood_come_first() -> None:
    lines = ["RIP: 0010:where+0x1/0x2 [kvm]", *stack("deeper")]
    assert telling_frame(lines, "named") == "named"
    assert telling_frame(lines, "memcpy") == "where"
    assert telling_frame(lines, "memcpy", rip=False) == "deeper"
    assert telling_frame(["RIP: 0033:0x7f12"], "") == ""


def test_frames_that_are_not_sure_do_not_count() -> None:
    assert telling_frame(["Call Trace:", " ? stale+0x1/0x2", " sure+0x1/0x2"]) == "sure"


def test_what_a_waiting_task_and_a_leak_have_in_common_tells_nothing() -> None:
    assert telling_frame(stack("folio_wait_bit", "vm_swap"), rip=False, besides=WAITING) == "vm_swap"
    assert telling_frame(stack("idr_alloc_u32", "vm_swap"), rip=False, besides=ALLOCATING) == "vm_swap"


def test_interrupts_only_ask_what_the_cpu_does() -> None:
    lines = ["Call Trace:", " <IRQ>", " ask+0x1/0x2", " </IRQ>", " <TASK>", " does+0x1/0x2", " </TASK>"]
    assert telling_frame(without_interrupts(lines)) == "does"
