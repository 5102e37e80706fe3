"""Whole runs: the plan of trials, lanes that work it off, the main job around them, and what a terminal shows of it."""
