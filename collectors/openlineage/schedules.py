"""Airflow timetables → a cron expression and its time zone, where the schedule is one.

Cron timetables send `{"expression", "timezone"}`; intervals, `@once`, `@continuous`, several crons at once and asset
schedules are no cron expression, and nothing is claimed for them (learning finds their rhythm).
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from collectors.openlineage.wire import Dag, Timetable

# airflow/utils/dates.py. The provider sends them resolved; Airflow 2's schedule_interval does not.
_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@midnight": "0 0 * * *",
}
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def schedule_of(dag: Dag) -> tuple[str, str] | None:
    """(cron expression of five fields, IANA zone), or None. Without a zone the DAG's is not known: Airflow's default
    is UTC, and so is ours."""
    timed = _cron(dag.timetable)
    if timed is not None and timed.expression is not None:
        return _schedule(timed.expression, _zone(timed.timezone))
    if isinstance(dag.schedule_interval, str) and dag.timetable is None:
        return _schedule(dag.schedule_interval, "UTC")
    return None


def cron_schedule(expression: str | None, timezone: str | None) -> tuple[str, str] | None:
    """As schedule_of, for an expression and a zone that stand by themselves."""
    return _schedule(expression, timezone or "UTC") if expression else None


def _cron(timetable: Timetable | None) -> Timetable | None:
    """The timetable itself, or the timed half of an asset-or-time schedule."""
    if timetable is None or timetable.expression is not None:
        return timetable
    return timetable.timetable


def _zone(timezone: str | int | None) -> str | None:
    if timezone is None or timezone == 0:
        return "UTC"
    return timezone if isinstance(timezone, str) else None  # a fixed offset in seconds has no IANA name


@lru_cache(maxsize=4096)
def _schedule(expression: str, timezone: str | None) -> tuple[str, str] | None:
    text = _PRESETS.get(expression.strip().lower(), " ".join(expression.split()))
    if timezone is None or len(text) > 200 or len(text.split(" ")) != 5:
        return None
    try:
        CronSim(text, _ANY_DAY)
        ZoneInfo(timezone)
    except (CronSimError, KeyError, ValueError, OSError):  # an unknown zone is a KeyError
        return None
    return text, timezone
