"""Paced streams of monitor commands at one guest, whose replies are the observations."""
