"""The sources of ``dashboards/grafana/*.json``; ``make dashboards`` generates those."""
