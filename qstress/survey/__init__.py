"""Which monitor commands make vCPUs write their state back: sent to guests of four kinds, seen in the window log."""
