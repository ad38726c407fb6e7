"""Snapshots in, alerts out: the engine, the life of an alert, what is usual, and the kinds of rules (one file each)."""
