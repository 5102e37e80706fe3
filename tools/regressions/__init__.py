"""What a change of how QEMU leaves INIT to KVM might break: migration, snapshots, reset, hot-plug, irqchips, SMM."""
