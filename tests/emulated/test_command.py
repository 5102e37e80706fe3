from __future__ import annotations

from qstress.emulated.command import Descriptors, Machine, emulator_arguments


def test_it_is_emulated_read_only_and_leaves_no_path_behind() -> None:
    argv = emulator_arguments("qemu", Machine(3, 2 << 30), "/k/vmlinuz", Descriptors(7, 8, 9))
    line = " ".join(argv)
    assert argv[0] == "qemu"
    assert "-accel tcg" in line
    assert "-smp 3 -m 2048M" in line
    assert "-kernel /k/vmlinuz -initrd /dev/fd/9" in line
    assert "path=/,security_model=none,readonly=on" in line
    assert "id=agent,fd=7" in line
    assert "fd=8,set=1" in line
    assert "-no-reboot" in line
    assert "panic=-1" in line, "a kernel that dies ends its QEMU"
    assert "kvm_amd.nested=0" in line, "where it is built in, nobody loads it with parameters"
    assert "kvm" not in line.replace("kvm_amd.nested=0", ""), "never the KVM beneath"
