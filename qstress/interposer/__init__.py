"""The interposer: a small C library, preloaded into QEMU, that changes what QEMU and KVM tell each other about SMM,
records how QEMU looks at its vCPUs, and holds a vCPU where a preemption could fall as well.

``interpose.c`` is built by ``build`` with the host's compiler on first use and kept in the user's cache; ``log`` is the
memory that it shares with us.
"""
