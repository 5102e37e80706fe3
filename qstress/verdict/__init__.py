"""From observations to a verdict (pure: no clock, no process, deadlines come in as values)."""
