"""The time zone of a DAG's schedule: found by the next run, since Airflow's API does not tell it.

`GET /dags/{id}/details` of Airflow 2.11 and 3.3 has a field `timezone` that is Airflow's default for every DAG
(`DagModel.timezone` in airflow/models/dag.py hides the DAG's own). The list of DAGs tells when the next run is due, and
only in some zones is that a moment of the DAG's cron expression. Of those, the first that may be counts; where none
fits, nothing is claimed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from collectors.airflow.fields import Record, mapped, text
from collectors.openlineage.schedules import cron_schedule


class Zones:
    """configured: in which DAGs may be scheduled, besides Airflow's default. What was found is kept: a DAG whose runs
    are all under way tells no next one."""

    def __init__(self, configured: Sequence[str]) -> None:
        self._configured = tuple(configured)
        self._found: dict[str, tuple[str, str]] = {}  # DAG → (its cron expression, the zone)

    def of(self, dag_id: str, cron: str, next_run: datetime | None, default: str) -> str | None:
        """next_run: when the next one is due, as far as it is told; default: Airflow's own zone."""
        known = self._found.get(dag_id)
        zone = known[1] if known and known[0] == cron else None
        if next_run is not None and (zone is None or not fits(cron, zone, next_run)):
            zones = dict.fromkeys((default, *self._configured))
            zone = next((each for each in zones if fits(cron, each, next_run)), None)
        if zone is None:
            self._found.pop(dag_id, None)
        else:
            self._found[dag_id] = cron, zone
        return zone


def cron_of(row: Record) -> str | None:
    """The schedule of a DAG. Airflow 3 tells a timetable's summary, which for a cron timetable is its expression;
    Airflow 2 an object."""
    interval = mapped(row.get("schedule_interval"))
    if interval:
        return text(interval, "value") if text(interval, "__type") == "CronExpression" else None
    summary = text(row, "timetable_summary")
    return summary if cron_schedule(summary, None) else None


@lru_cache(maxsize=8192)
def fits(cron: str, zone: str, moment: datetime) -> bool:
    """Whether cron, read in zone, names the moment (aware)."""
    schedule = cron_schedule(cron, zone)
    if schedule is None:
        return False
    local = moment.astimezone(ZoneInfo(zone))
    return next(CronSim(schedule[0], local - timedelta(seconds=1))).astimezone(UTC) == moment.astimezone(UTC)
