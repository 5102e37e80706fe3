"""What Prometheus sees of a run: values taken from the campaign's state at a scrape, never counters kept beside it.

``snapshot`` (pure) takes the values, on the event loop, in the time of a few additions; ``families`` (pure) makes the
metrics of docs/reference.md, "Metrics", from them; ``exporter`` serves them as bytes over HTTP, from a thread, and
writes them as a textfile; ``history`` (pure) makes OpenMetrics of recorded runs, for a backfill.
"""
