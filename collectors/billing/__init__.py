"""Bills: what providers charge, as exports in FOCUS or asked for day by day."""
