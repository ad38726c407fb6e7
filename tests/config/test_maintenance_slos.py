"""`slos` of `maintenance`: times that do not count in error budgets, once or again and again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from tests.config.test_slos import slo
from watchtower.config import Config, examine, load_text
from watchtower.config.maintenance import corrections_of
from watchtower.model.slo import Correction

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WINDOW: dict[str, Any] = {
    "name": "vacuum",
    "matchers": ['source="airflow-prod"'],
    "reason": "tables are vacuumed",
    "slos": ["orders"],
}


def written(**said: Any) -> str:
    item = {key: value for key, value in (WINDOW | said).items() if value is not None}
    intervals = [{"name": "night", "time_intervals": [{"times": [{"start_time": "01:00", "end_time": "02:00"}]}]}]
    return yaml.safe_dump({"time_intervals": intervals, "maintenance": [item], "slos": [slo()]}, sort_keys=False)


def corrections(config: Config, now: datetime = NOW) -> list[tuple[str, Correction]]:
    return corrections_of(config.maintenance, config.slos, now)


def test_a_window_of_once_does_not_count_of_the_slos_it_names() -> None:
    start, end = datetime(2026, 11, 14, 21, tzinfo=UTC), datetime(2026, 11, 15, 1, tzinfo=UTC)
    config = load_text(written(start=start.isoformat(), end=end.isoformat(), author="lea"))
    assert corrections(config) == [("orders", Correction(start, end, WINDOW["reason"], "lea", is_planned=True))]
    assert corrections(config, end + timedelta(days=40)) == [], "its period is over"


def test_windows_that_come_again_are_all_those_of_the_period_and_of_the_next_two_days() -> None:
    """Sundays at 02:00 in Berlin; the period of 30 days and four more hold October 18 to November 20."""
    config = load_text(written(cron="0 2 * * sun", duration="2h", timezone="Europe/Berlin"))
    found = corrections(config)
    assert [each.start.isoformat() for _, each in found] == [
        "2026-10-18T00:00:00+00:00", "2026-10-25T00:00:00+00:00", "2026-11-01T01:00:00+00:00",
        "2026-11-08T01:00:00+00:00", "2026-11-15T01:00:00+00:00", "2026-11-22T01:00:00+00:00",
    ]  # fmt: skip
    assert {each.end - each.start for _, each in found} == {timedelta(hours=2)}
    assert {each.author for _, each in found} == {"configuration"}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"slos": ["order"], "cron": "0 2 * * *", "duration": "1h"}, "there is no SLO 'order'"),
        ({"time_intervals": ["night"]}, "what does not count is said by start and end, or by cron"),
    ],
)
def test_what_cannot_be_taken_out_is_said(said: dict[str, Any], problem: str) -> None:
    (fault,) = examine(written(**said)).faults
    assert problem in fault.message and fault.remedy


def test_a_window_without_slos_takes_nothing_out() -> None:
    assert corrections(load_text(written(slos=None, cron="0 2 * * *", duration="1h"))) == []
