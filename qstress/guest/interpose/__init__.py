"""The interposer: a small C library, preloaded into QEMU, that changes what QEMU and KVM tell each other about SMM.

``interpose.c`` is built by ``build`` with the host's compiler on first use and kept in the user's cache.
"""
