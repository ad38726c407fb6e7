"""SLOs at a scrape: judged anew where an event counted or time moves a window, and never all at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rules.slo.status import status
from tests.builders import ORDERS, complete, fail
from tests.store.test_slos import of_runs
from watchtower.model.labels import Matcher
from watchtower.model.rule import SloSnapshot
from watchtower.model.run import JobRef
from watchtower.server import slo_standings
from watchtower.server.slo_standings import SloStandings
from watchtower.store import facts, slos
from watchtower.store.database import Database
from watchtower.telemetry import metrics
from watchtower.telemetry.instruments import Metric

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BILLING = JobRef("airflow-prod", "prod", "billing")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the SLOs that were judged, in order."""
    names: list[str] = []

    def told(snapshot: SloSnapshot, now: datetime) -> object:
        names.append(snapshot.slo.name)
        return status(snapshot, now)

    monkeypatch.setattr(slo_standings, "status", told)
    return names


class Reader:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.standings = SloStandings()

    def at(self, now: datetime) -> dict[tuple[Metric, tuple[str, ...]], float]:
        with self.database.read() as connection:
            samples = self.standings.read(connection, now)
        return {(metric, labels): value for metric, labels, value in samples.items()}


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    of_billing = (Matcher("pipeline", "=", BILLING.pipeline),)
    declared = [of_runs("0.95", name="orders"), of_runs("0.9", name="billing", matchers=of_billing)]
    database.write(lambda connection: slos.declare(connection, declared, NOW))
    heard = [
        complete(f"{job.pipeline}{ago}", NOW - timedelta(days=ago, minutes=1), job=job)
        for job in (ORDERS, BILLING)
        for ago in range(29, -1, -1)
    ]
    facts.append(database, facts.Intake(heard)).result(10)
    yield Reader(database)


def test_only_what_an_event_counted_for_is_judged_anew(reader: Reader, judged: list[str]) -> None:
    first = reader.at(NOW)
    assert sorted(judged) == ["billing", "orders"]
    judged.clear()
    assert reader.at(NOW + timedelta(seconds=15)) == first
    assert judged == []
    bad = fail("b-bad", NOW + timedelta(seconds=20), job=BILLING)
    facts.append(reader.database, facts.Intake([bad])).result(10)
    second = reader.at(NOW + timedelta(seconds=30))
    assert judged == ["billing"]
    events = [value for (metric, labels), value in second.items() if metric is metrics.SLO_EVENTS and "bad" in labels]
    assert sorted(events) == [0.0, 1.0]


def test_time_moves_what_holds_bad_events_each_minute_and_the_rest_by_hours(reader: Reader, judged: list[str]) -> None:
    facts.append(reader.database, facts.Intake([fail("b-bad", NOW, job=BILLING)])).result(10)
    reader.at(NOW)
    judged.clear()
    reader.at(NOW + timedelta(minutes=1))
    assert judged == ["billing"]
    reader.at(NOW + timedelta(hours=1))
    assert sorted(judged[1:]) == ["billing", "orders"]


def test_one_reading_judges_so_many_and_the_next_ones_the_others(
    reader: Reader, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one is never left out: its series would be missing."""
    monkeypatch.setattr(slo_standings, "MOST", 1)
    reader.at(NOW)
    assert sorted(judged) == ["billing", "orders"]
    judged.clear()
    later = NOW + timedelta(hours=2)
    assert len({labels[0] for _, labels in reader.at(later)}) == 2
    reader.at(later + timedelta(seconds=15))
    assert sorted(judged) == ["billing", "orders"]


def test_an_slo_that_is_gone_is_not_told(reader: Reader) -> None:
    reader.at(NOW)
    reader.database.write(lambda connection: slos.declare(connection, [of_runs("0.95", name="orders")], NOW))
    assert {labels[0] for _, labels in reader.at(NOW)} == {"orders"}
