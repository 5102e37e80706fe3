"""What can be watched without touching the guest: thread times, process state, the host's load."""
