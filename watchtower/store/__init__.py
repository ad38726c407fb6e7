"""The store: facts, the state folded from them, timers, alerts and what is owed; SQLite or PostgreSQL."""
