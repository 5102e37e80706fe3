"""A whole KVM host in emulation: QEMU's TCG emulates AMD's SVM, so a Linux in it has a real ``kvm_amd`` with real SMM.

The machine's own root is the emulated host's root, read-only, with a layer in its memory on top: QEMU, this very
qstress and every path are simply there, and nothing that is written inside stays.

Why not virtme-ng, the well-kept tool for this: tried with 1.42, it boots the same kernel, but it wants a static busybox
and kmod installed on this machine (root), always runs ``systemd-tmpfiles`` (3.4 of its 11.5 s to the command, and no
option leaves it out), prints nothing without a terminal, and has no way in for signals or out for a sign of life. An
initramfs of our own (``init.c`` and the modules) and an agent on a virtio console port need nothing but cc and QEMU.
See docs/background/emulated-hosts.md, "As qstress does it".
"""
