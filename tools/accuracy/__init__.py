"""``make accuracy``: are qstress's verdicts right? Labelled trials on live guests, and a table of what it said.

Each kind of trial has a known truth: a healthy guest, or a fault that was injected, by the firmware, by a monitor
command, by a signal or by the host. ``kinds`` lists them, ``table`` compares verdict and truth (pure). A share of the
trials runs while CPU hogs oversubscribe the host eightfold (``load``). Not a test: it takes hours at full size.
"""
