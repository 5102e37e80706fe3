"""Trials, start to result: a guest with its instruments, its bring-ups, their verdicts, the evidence of findings."""
