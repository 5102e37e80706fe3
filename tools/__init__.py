"""Programs for those who work on qstress: benchmarks and the accuracy of verdicts. None is a test."""
