"""Snapshots in, alerts out: the engine, the life of an alert, what is usual, and `kinds`, one file for each kind."""
