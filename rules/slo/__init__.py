"""Error budgets: what was counted, how fast it burns, whether that alerts, and how it stands. Pure; gets now."""
