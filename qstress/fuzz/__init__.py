"""Fuzzing of a live guest's monitors: QMP from its own schema, HMP from its own help, bytes below both.

The flow:

1. ``schema`` and ``hmp`` read what the live QEMU says of itself; ``grammar``, ``corrupt`` and ``lifecycle`` make
   commands of it, ``pool`` fills in ids learned from replies. All pure: a seed and the replies so far decide each byte.
2. ``generator`` mixes them into exchanges (``ops``, ``exchange``), and keeps what reached something new (``corpus``,
   ``coverage``); ``messages`` numbers them, ``probes`` repeats some to find leaks.
3. ``confine`` says how QEMU runs behind bubblewrap, ``confined_process`` starts it, ``fuzzed_guest`` is that live guest
   with its monitors (``channel``), ``executor`` executes exchanges on it.
4. ``protocol`` reads the answers, the ``oracles`` that ``judge`` lists say what is wrong; ``findings`` names, counts
   and writes what they find, each with its ``recording`` and ``script``.
5. ``session`` runs guest after guest; ``replay`` plays a finding again, ``reduce`` makes it smaller. ``job`` and
   ``finding_commands`` are what the commands ``fuzz``, ``repro`` and ``reduce`` call.
"""
