"""When each pipeline of the recorded day runs, and in which slot something goes wrong.

record_day.py writes the plan as JSON and names it in SHOP_PLAN; without one the pipelines have their usual crons and
nothing goes wrong.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_START = datetime(2026, 1, 1, tzinfo=UTC)


def _plan() -> dict[str, dict[str, str | None]]:
    path = os.environ.get("SHOP_PLAN")
    return json.loads(Path(path).read_text()) if path else {}


def hourly(dag_id: str, minute: int) -> dict[str, Any]:
    """The arguments of @dag that say when: every hour at `minute`, past hours one after another."""
    planned = _plan().get(dag_id, {})
    return {
        "dag_id": dag_id,
        "schedule": planned.get("cron") or f"{minute} * * * *",
        "start_date": datetime.fromisoformat(planned.get("first_slot") or _START.isoformat()),
        "catchup": True,
        "max_active_runs": 1,
    }


def in_trouble(dag_id: str, slot: datetime) -> bool:
    """Whether `slot` is the one in which this pipeline's source misbehaves."""
    trouble = _plan().get(dag_id, {}).get("trouble_slot")
    return trouble is not None and slot == datetime.fromisoformat(trouble)
