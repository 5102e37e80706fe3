"""Values in, text and JSON out: the summary, the gate with its exit code, and what a run shows while it goes."""
