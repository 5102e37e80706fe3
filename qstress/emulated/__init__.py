"""A whole KVM host in emulation: QEMU's TCG emulates AMD's SVM, so a Linux in it has a real ``kvm_amd`` with real SMM.

The machine's own root is the emulated host's root, read-only, with a layer in its memory on top: QEMU, this very
qstress and every path are simply there, and nothing that is written inside stays.

Why not virtme-ng, the well-kept tool for this: 1.42 boots the same kernel here, but it wants a static busybox and kmod
on this machine, and spends 3.4 of its 11.5 s to the command in ``systemd-tmpfiles``; how to pass signals in and a sign
of life out of it was not found. An initramfs of our own (``init.c`` and the modules) and an agent on a virtio console
port need nothing but cc and QEMU.
See docs/background/emulated-hosts.md, "As qstress does it".
"""
