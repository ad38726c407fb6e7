"""Help desks: one file each for its API, and `desk`, the common table that makes any of them a channel."""
