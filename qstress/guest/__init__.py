"""One live QEMU: command line (pure), process, monitors, debug console."""
