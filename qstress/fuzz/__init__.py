"""Fuzzing of a live guest's monitors: QMP from its own schema, HMP from its own help, bytes below both.

The flow:

1. ``schema`` and ``hmp`` read what the live QEMU says of itself; ``grammar``, ``corrupt`` and ``lifecycle`` make
   commands of it, ``pool`` fills in ids learned from replies. All pure: a seed and the replies so far decide each byte.
2. ``generator`` mixes them into exchanges (``ops``), and keeps what reached something new (``corpus``, ``coverage``).
3. ``confine`` puts QEMU behind bubblewrap, ``rig`` is that live guest with its monitors, ``executor`` plays ops on it.
4. ``protocol`` and ``oracles`` judge each exchange; ``findings`` names, counts and writes what they find.
5. ``session`` runs guest after guest; ``replay`` plays a finding again, ``reduce`` makes it smaller.
"""
