"""A recorded run is moved as a whole: its durations, order and errors stay, its times and ids follow its schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from collectors.airflow import run_ids
from watchtower.demo.grid import move, moved_cron
from watchtower.demo.recording import Event, Pipeline, Recording

NAMESPACE = "shop-airflow"
RECORDED = datetime(2026, 11, 21, 3, 20, tzinfo=UTC)
NOW = datetime(2026, 12, 24, 17, 42, 30, tzinfo=UTC)


def dag_event(slot: datetime, event_type: str, when: datetime) -> Event:
    return {
        "eventType": event_type,
        "eventTime": when.isoformat(),
        "job": {"namespace": NAMESPACE, "name": "orders_hourly"},
        "run": {
            "runId": run_ids.dag_run_id(NAMESPACE, "orders_hourly", 0, slot),
            "facets": {
                "airflowDagRun": {
                    "dag": {"dag_id": "orders_hourly", "start_date": "2026-01-01T00:00:00+00:00"},
                    "dagRun": {
                        "dag_id": "orders_hourly",
                        "run_id": f"scheduled__{slot.isoformat()}",
                        "clear_number": 0,
                        "run_after": slot.isoformat(),
                        "logical_date": slot.isoformat(),
                        "start_date": when.isoformat(),
                    },
                },
                "nominalTime": {"nominalStartTime": slot.isoformat()},
            },
        },
    }


def recording(*runs: tuple[datetime, datetime, datetime], unpaused_at: datetime) -> Recording:
    """runs: (slot, START, COMPLETE)."""
    events = [
        (when, dag_event(slot, kind, when))
        for slot, begun, ended in runs
        for kind, when in (("START", begun), ("COMPLETE", ended))
    ]
    pipeline = Pipeline("orders_hourly", "20 * * * *", "healthy", unpaused_at, None)
    return Recording(NAMESPACE, {}, {"orders_hourly": pipeline}, tuple(events))


def moved(day: Recording) -> list[Event]:
    return [msgspec.json.decode(post.body) for post in move(day, NOW).posts]


def times(events: list[Event]) -> list[datetime]:
    return [datetime.fromisoformat(event["eventTime"]) for event in events]


CATCH_UP = recording(
    (RECORDED - timedelta(hours=2), RECORDED + timedelta(seconds=3), RECORDED + timedelta(seconds=9)),
    (RECORDED - timedelta(hours=1), RECORDED + timedelta(seconds=10), RECORDED + timedelta(seconds=18)),
    unpaused_at=RECORDED + timedelta(seconds=1),
)


def test_runs_that_airflow_caught_up_on_in_a_row_get_their_own_hours_back() -> None:
    first, _, second, _ = times(moved(CATCH_UP))
    assert second - first == timedelta(hours=1) - timedelta(seconds=1)  # delays of 2 s and of 1 s
    assert (first.second, second.second) == (2, 1)


def test_durations_are_untouched() -> None:
    begun1, ended1, begun2, ended2 = times(moved(CATCH_UP))
    assert (ended1 - begun1, ended2 - begun2) == (timedelta(seconds=6), timedelta(seconds=8))


def test_the_day_ends_a_minute_ago() -> None:
    last = max(times(moved(CATCH_UP)))
    assert timedelta(seconds=60) <= NOW - last < timedelta(seconds=120)


def test_a_run_that_really_started_late_stays_late() -> None:
    late = recording((RECORDED, RECORDED + timedelta(minutes=7), RECORDED + timedelta(minutes=8)), unpaused_at=RECORDED)
    begun, _ = moved(late)
    nominal = datetime.fromisoformat(begun["run"]["facets"]["nominalTime"]["nominalStartTime"])
    assert datetime.fromisoformat(begun["eventTime"]) - nominal == timedelta(minutes=7)


def test_ids_are_those_that_airflow_would_have_given() -> None:
    for event in moved(CATCH_UP):
        dag_run: dict[str, Any] = event["run"]["facets"]["airflowDagRun"]["dagRun"]
        slot = datetime.fromisoformat(dag_run["logical_date"])
        assert event["run"]["runId"] == run_ids.dag_run_id(NAMESPACE, "orders_hourly", 0, slot)
        assert dag_run["run_id"] == f"scheduled__{slot.isoformat()}"


def test_what_is_not_a_time_of_the_run_stays() -> None:
    for event in moved(CATCH_UP):
        assert event["run"]["facets"]["airflowDagRun"]["dag"]["start_date"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("minutes", "expected"), [(0, "20 * * * *"), (50, "10 * * * *"), (-21, "59 * * * *"), (60 * 24 * 33, "20 * * * *")]
)
def test_an_hourly_cron_moves_with_its_runs(minutes: int, expected: str) -> None:
    assert moved_cron("20 * * * *", timedelta(minutes=minutes)) == expected
