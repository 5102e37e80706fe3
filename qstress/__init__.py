"""qstress: QMP/HMP fuzzing and soak tests against live QEMU guests.

The flow, which is also the map of the package (imports only go down, ``pyproject.toml`` holds the contract):

1. ``config/`` reads a YAML file into frozen types, resolves it against the host, refuses what it cannot mean.
2. ``plan/`` turns axes into cells and draws a seeded, interleaved order of trials.
3. ``guest/`` makes a command line (pure), starts QEMU paused, connects, hands out a live guest or leaves a clean host.
4. ``hammer/`` sends monitor commands on time; each reply goes to the judge. ``observe/`` watches what is free to watch.
5. ``registers``, ``milestones``, ``smpscan`` and ``polled`` read what the guest says, ``windows`` what the interposer
   recorded, ``hostlog/`` what the host's kernel says; ``verdict/`` (pure) folds it into a verdict. On suspicion the
   trial stops hammering first, waits, then confirms.
6. ``store/`` commits each finding before the next trial starts; ``stats/`` (pure) folds outcomes, ``report/`` shows
   them, ``metrics/`` serves them, ``recorded/`` reads them back.
7. ``machine`` is a guest with its surroundings, ``bringup`` runs one bring-up on it, ``series`` many of one that
   resets itself, ``trial`` a process-run of them, ``campaign`` drives lanes until its stop rule, ``soak`` wires it all.
   ``fuzz/`` plays with the monitors instead, ``host/`` asks what this machine can do, ``cli`` prints and exits.

The words (guest, lane, hammer, trial, verdict, class, block, cell, tier) are the types of ``model``; what can go wrong
is in ``errors``.
"""

__version__ = "0.1.0"
