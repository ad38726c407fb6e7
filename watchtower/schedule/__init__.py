"""Periodic work: retention, sketches, heartbeat, the auditor, retries of the spool and the quarantine.

APScheduler only triggers; whether the work is done is decided by a row that one replica claims, so any number of
replicas do it once. Deadlines, `for`, retries and escalation are never here: they are rows of the due queue.
"""

from watchtower.schedule.periodic import Periodic, Task

__all__ = ["Periodic", "Task"]
