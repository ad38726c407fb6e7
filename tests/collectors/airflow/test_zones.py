"""Airflow's API tells a DAG's cron expression and its next run, and of no DAG the zone."""

from datetime import UTC, datetime

import pytest

from collectors.airflow.zones import Zones, cron_of, fits

BERLIN, LONDON = "Europe/Berlin", "Europe/London"
WINTER = datetime(2026, 11, 30, 2, tzinfo=UTC)  # 03:00 in Berlin


def of(
    zones: Zones, next_run: datetime | None, *, cron: str = "0 3 * * *", default: str = "UTC", dag_id: str = "close"
) -> str | None:
    return zones.of(dag_id, cron, next_run, default)


@pytest.mark.parametrize(
    ("cron", "zone", "moment", "expected"),
    [
        ("0 3 * * *", BERLIN, WINTER, True),
        ("0 3 * * *", "UTC", WINTER, False),
        ("0 3 * * *", BERLIN, datetime(2026, 7, 1, 1, tzinfo=UTC), True),
        ("@daily", "UTC", datetime(2026, 11, 30, tzinfo=UTC), True),
        ("30 2 * * *", BERLIN, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True),
        ("0 3 * * 1", BERLIN, WINTER, True),
        ("0 3 * * 2", BERLIN, WINTER, False),
        ("Asset", "UTC", WINTER, False),
        ("0 3 * * *", "Mars/Olympus", WINTER, False),
    ],
)
def test_a_schedule_fits_the_zone_in_which_its_next_run_is_one_of_its_moments(
    cron: str, zone: str, moment: datetime, expected: bool
) -> None:
    assert fits(cron, zone, moment) is expected


def test_airflows_own_zone_counts_before_those_that_are_configured() -> None:
    assert of(Zones([LONDON]), datetime(2026, 11, 30, 3, tzinfo=UTC)) == "UTC"
    assert of(Zones([LONDON]), datetime(2026, 7, 1, 2, tzinfo=UTC)) == LONDON
    assert of(Zones(["UTC"]), WINTER, default=BERLIN) == BERLIN


def test_a_zone_that_nobody_named_is_not_guessed() -> None:
    assert of(Zones([LONDON]), WINTER) is None


def test_what_was_found_stands_while_no_next_run_is_told_and_only_for_the_same_schedule() -> None:
    zones = Zones([BERLIN])
    assert of(zones, None) is None
    assert of(zones, WINTER) == BERLIN
    assert of(zones, None) == BERLIN
    assert of(zones, None, cron="0 4 * * *") is None


def test_a_dag_that_moves_to_another_zone_is_found_by_its_next_run() -> None:
    zones = Zones([BERLIN])
    assert of(zones, WINTER) == BERLIN
    assert of(zones, WINTER.replace(hour=3)) == "UTC"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"timetable_summary": "0 3 * * *"}, "0 3 * * *"),
        ({"timetable_summary": "Never, external triggers only"}, None),
        ({"timetable_summary": None}, None),
        ({"schedule_interval": {"__type": "CronExpression", "value": "@daily"}}, "@daily"),
        ({"schedule_interval": {"__type": "TimeDelta", "days": 1}}, None),
        ({"schedule_interval": "0 3 * * *"}, None),
    ],
)
def test_a_cron_expression_is_told_apart_from_what_else_starts_a_dag(row: dict[str, object], expected: object) -> None:
    assert cron_of(row) == expected
