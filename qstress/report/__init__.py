"""Values in, text out: the summary as text, JSON, HTML, JUnit and for GitHub, the gate with its exit code, two runs
side by side, a finding's script and story, and what a run shows while it goes."""
