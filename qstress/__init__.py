"""qstress: QMP/HMP fuzzing and soak tests against live QEMU guests.

The flow, which is also the map of the package (imports only go down, ``pyproject.toml`` holds the contract):

1. ``config/`` reads a YAML file into frozen types, resolves it against the host, refuses what it cannot mean.
2. ``plan/`` turns axes into cells and draws a seeded, interleaved order of trials.
3. ``guest/`` makes a command line (pure), starts QEMU paused, connects, hands out a live guest or leaves a clean host;
   ``firmware/`` knows what a guest runs first, ``interposer/`` stands between QEMU and KVM where that is asked for.
4. ``hammer/`` sends monitor commands on time; each reply goes to the trial. ``observe/`` watches what is free to watch.
5. ``trial/`` runs bring-ups on a guest with its instruments. ``registers``, ``firmware/``, ``interposer/windows`` and
   ``hostlog/`` read what guest, QEMU and the host's kernel say; ``verdict/`` (pure) folds it into a verdict. On
   suspicion a trial stops hammering first, waits, then confirms.
6. ``store/`` commits each finding before the next trial starts; ``stats/`` (pure) folds outcomes, ``report/`` shows
   them, ``metrics/`` serves them, ``recorded/`` reads them back.
7. ``run/`` drives lanes of trials until the stop rule and wires it all. ``fuzz/`` plays with the monitors instead,
   ``qemu_build/`` makes a QEMU from a tree and a patch, ``kernel_build/`` a kernel for emulated hosts, ``host/`` asks
   what this machine can do, ``cli`` prints and exits.

The words (guest, lane, hammer, trial, verdict, class, block, cell, tier) are the types of ``model``; what can go wrong
is in ``errors``.
"""

__version__ = "0.1.0"
