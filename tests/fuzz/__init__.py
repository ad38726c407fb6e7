"""Input that nobody would send in good faith, by the thousand: `make fuzz`."""
