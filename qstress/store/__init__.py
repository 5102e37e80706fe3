"""One run's folder: ``run.json``, ``trials.db``, ``summary.json`` and ``evidence/`` (docs/reference.md, "A run's
folder").

``write`` records and ``read`` reads back. Below them: ``ledger`` and ``record`` are the two sides of ``trials.db``
(``schema.sql``, opened by ``database``); ``rows``, ``words`` and ``packing`` say how results and verdicts become rows,
``sums`` how a tally does (pure); ``evidence`` makes a finding's folder, ``files`` writes durably and puts the host's
refusals into words.
"""
