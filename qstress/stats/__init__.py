"""Statistics of trials, pure and our own on ``math.lgamma`` (SciPy is an oracle in tests only).

Shown, for one look: exact limits (``intervals``), Fisher's test (``exact``) and its stratified form (``strata``); where
trials share a process, wider limits (``clusters``) and the block permutation test (``permute``). What may stop a run is
valid at every look: the two-sample e-process (``evalue``) and confidence sequences (``sequence``), in units that are
independent, process-runs. ``tally`` folds results into both, block by block; ``compare`` and ``counts`` say what they
show, ``exposure`` whether both arms stood under the same fire.
"""
