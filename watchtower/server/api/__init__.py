"""The JSON API, by theme. Each module holds what it answers, what it takes, and its handlers."""
