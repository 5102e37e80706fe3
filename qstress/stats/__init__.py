"""Statistics of trials, pure and our own on ``math.lgamma``: exact limits and tests, the e-process that may be looked
at after every block, and the tally that folds results into what every report shows (SciPy is an oracle in tests only).
"""
