"""Guests as /proc shows them, in a made-up /proc; at real ones in tests/live/test_watch.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstress.model import Accel
from qstress.observe import guests
from qstress.observe.guests import guest_of, halting_is_told, local_guests, look_at
from qstress.verdict.outside import VcpuWait

STACK = "[<0>] kvm_vcpu_block+0x44/0xc0\n{}[<0>] kvm_arch_vcpu_ioctl_run+0xc1e/0x1d50\n"
HALTED, FOR_INIT = STACK.format("[<0>] kvm_vcpu_halt+0x17f/0x3d0\n"), STACK.format("")


def process(proc: Path, pid: int, argv: list[str], **threads: str) -> None:
    """Make a process; *threads*: the kernel stack by name, ``CPU_1_KVM`` for ``CPU 1/KVM``."""
    folder = proc / str(pid)
    stat = f"{pid} (a) b) S " + " ".join(["0"] * 18) + " 4200 0"
    for tid, (name, stack) in enumerate({"main": "", **threads}.items(), pid):
        task = folder / "task" / str(tid)
        task.mkdir(parents=True)
        kind = name.rpartition("_")
        (task / "comm").write_text(f"{kind[0].replace('_', ' ')}/{kind[2]}\n" if kind[0] else name)
        (task / "schedstat").write_text("1500000000 500000000 7\n")
        (task / "status").write_text("Name:\tx\nvoluntary_ctxt_switches:\t33\nnonvoluntary_ctxt_switches:\t5\n")
        (task / "stat").write_text(stat if "running" not in stack else stat.replace(" S ", " R "))
        (task / "stack").write_text(stack)
    (folder / "cmdline").write_bytes("\0".join(argv).encode())
    (folder / "stat").write_text(stat)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "halting_is_told", lambda: True)


def test_a_guest_of_libvirts(tmp_path: Path) -> None:
    named = ["/usr/libexec/qemu-kvm", "-name", "guest=web,debug-threads=on"]
    process(tmp_path, 10, named, CPU_0_KVM="", CPU_1_KVM=HALTED, CPU_2_KVM=FOR_INIT, CPU_3_KVM=FOR_INIT + "running")
    process(tmp_path, 20, ["/bin/sh", "qemu-system-x86_64"])
    process(tmp_path, 30, ["/usr/bin/qemu-img", "convert"])
    (tmp_path / "40").mkdir()
    (guest,) = local_guests(tmp_path)
    assert (guest.pid, guest.name, guest.accel, guest.not_judged, guest.resumed) == (10, "web", Accel.KVM, "", False)
    assert guest.threads == {0: 11, 1: 12, 2: 13, 3: 14}
    look = look_at(guest, tmp_path)
    assert look
    waits = [look.threads[index].wait for index in range(4)]
    assert waits == [VcpuWait.NOT_WAITING, VcpuWait.HALTED, VcpuWait.FOR_INIT, VcpuWait.NOT_WAITING]
    assert (look.threads[1].run_s, look.threads[1].queued_s, look.threads[1].rests) == (1.5, 0.5, 33)
    (tmp_path / "10/task/12/stat").unlink()
    assert look_at(guest, tmp_path) is None


@pytest.mark.parametrize(
    ("argv", "name", "why"),
    [
        (["-name", "a,process=b"], "a", ""),
        (["-name", "debug-threads=on,guest=c"], "c", ""),
        (["-M", "microvm,acpi=off"], "pid 5", "microvm"),
        (["-machine", "q35,kernel_irqchip=off"], "pid 5", "APIC"),
        (["-object", '{"qom-type":"sev-snp-guest"}'], "pid 5", "confidential"),
    ],
)
def test_what_a_command_line_says(tmp_path: Path, argv: list[str], name: str, why: str) -> None:
    process(tmp_path, 5, ["qemu-system-x86_64", *argv, "-incoming", "defer"])
    guest = guest_of(5, tmp_path)
    assert guest
    assert (guest.name, guest.threads, guest.accel, guest.resumed) == (name, {}, Accel.TCG, True)
    assert why in guest.not_judged
    assert bool(why) == bool(guest.not_judged)


def test_where_the_kernel_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 1, ["qemu-system-x86_64"], CPU_0_KVM="", CPU_1_KVM=FOR_INIT)
    process(tmp_path, 5, ["qemu-system-x86_64"], CPU_0_TCG="", CPU_1_TCG="")
    kvm, tcg = local_guests(tmp_path)
    monkeypatch.setattr(guests, "halting_is_told", lambda: False)
    for guest in (kvm, tcg):
        look = look_at(guest, tmp_path)
        assert look
        assert look.threads[1].wait is VcpuWait.NOT_TOLD
    (tmp_path / "1/task/3/stack").unlink()
    look = look_at(kvm, tmp_path)
    assert look
    assert look.threads[1].wait is VcpuWait.NOT_TOLD


def test_whether_a_kernel_tells_is_in_its_symbols(tmp_path: Path) -> None:
    symbols = tmp_path / "kallsyms"
    assert not halting_is_told(symbols)
    halting_is_told.cache_clear()
    symbols.write_text("0 t kvm_vcpu_block\t[kvm]\n")
    assert not halting_is_told(symbols)
    halting_is_told.cache_clear()
    symbols.write_text("0 t kvm_vcpu_block\t[kvm]\n0 T kvm_vcpu_halt\t[kvm]\n")
    assert halting_is_told(symbols)
    halting_is_told.cache_clear()
