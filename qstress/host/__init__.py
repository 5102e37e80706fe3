"""What this machine is and can do, asked once and at rest: the facts recorded with a run, and ``doctor``'s checks."""
