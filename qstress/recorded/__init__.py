"""A recorded run, or one that is being recorded, as what it adds up to: tally, comparisons, gate and reports.

``totals`` adds blocks up and keeps the sums in the store, ``settings`` reads a run's settings back, ``run`` puts a
recorded run together again and ``reports`` writes it down; ``history`` finds earlier runs of the same experiment.
"""
