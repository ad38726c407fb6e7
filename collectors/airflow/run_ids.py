"""Run ids as Airflow's OpenLineage provider makes them, so that a run that is polled has the id by which it is pushed.

Formula: a UUIDv7 whose time is the run's logical date (else `run_after`) and whose node is the SHA-1 of that instant
and a text that names the run (openlineage-python, `client/uuid.py`, `generate_static_uuid`; Airflow provider
openlineage, `plugins/adapter.py`). Tests recompute the ids of recorded events.
"""

from datetime import UTC, datetime
from hashlib import sha1
from uuid import UUID


def dag_run_id(namespace: str, dag_id: str, clear_number: int, instant: datetime) -> str:
    """instant: logical date, else run_after (aware)."""
    return _static_uuid(instant, f"{namespace}.{dag_id}.{clear_number}")


def task_run_id(
    namespace: str, dag_id: str, task_id: str, *, try_number: int, map_index: int, instant: datetime
) -> str:
    """map_index: -1 for a task that is not mapped."""
    return _static_uuid(instant, f"{namespace}.{dag_id}.{task_id}.{try_number}.{map_index}")


def _static_uuid(instant: datetime, data: str) -> str:
    instant = instant.astimezone(UTC)
    # Not for security: the published formula uses SHA-1.
    digest = sha1(instant.isoformat().encode() + data.encode(), usedforsecurity=False).digest()
    node = int.from_bytes(digest, "big") >> 84
    milliseconds = int(instant.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    value = (milliseconds << 80) | node
    value = value & ~(0xF000 << 64) | (7 << 76)
    value = value & ~(0xC000 << 48) | (0x8000 << 48)
    return str(UUID(int=value))
