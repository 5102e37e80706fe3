"""Dashboards, rules and alerts of qstress; no part of its package."""
