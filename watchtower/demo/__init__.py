"""The demo: a day of real Airflow runs, replayed through the server's own HTTP endpoint on a replay clock.

`recording` reads the bundled events, `grid` moves each run as a whole to end a minute ago, `replay` sends them while
the clock follows, and `report` prints what was found. Nothing is invented: docs/demo.md says what is moved and how.
"""
