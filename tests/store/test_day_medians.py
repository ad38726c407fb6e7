"""Medians of days are read from sketches once a day for each job, on every store."""

from datetime import date, timedelta

from tests.builders import ORDERS
from watchtower.model.sketch import Sketch
from watchtower.store import day_medians
from watchtower.store.database import Database
from watchtower.store.day_medians import KeptMedians
from watchtower.store.retention import write_sketches

EPOCH = date(1970, 1, 1)


def _told(database: Database, *days: tuple[int, list[float]]) -> None:
    rows = [(ORDERS.id, "duration_s", day, len(values), Sketch.of(values).encode()) for day, values in days]
    write_sketches(database, rows)


def _medians(database: Database, kept: KeptMedians) -> list[tuple[date, float]]:
    """To a hundred seconds: a sketch is exact to ±2 %."""
    with database.read() as connection:
        found = kept.of(connection, [ORDERS.id, "nothing"])
    assert set(found) <= {ORDERS.id}
    return [(day, round(median, -2)) for day, median in found.get(ORDERS.id, ())]


def test_days_come_in_order_and_a_newer_one_is_seen(database: Database) -> None:
    kept = KeptMedians()
    assert _medians(database, kept) == []
    _told(database, (20_001, [600.0] * 5), (20_000, [100.0, 300.0, 9_000.0]))
    first = [(EPOCH + timedelta(days=20_000), 300), (EPOCH + timedelta(days=20_001), 600)]
    assert _medians(database, kept) == first
    _told(database, (20_002, [100.0]))
    assert _medians(database, kept) == [*first, (EPOCH + timedelta(days=20_002), 100)]


def test_no_more_days_are_kept_than_make_half_a_year(database: Database) -> None:
    _told(database, *((day, [600.0]) for day in range(20_000, 20_000 + day_medians.MOST_DAYS + 5)))
    found = _medians(database, KeptMedians())
    assert len(found) == day_medians.MOST_DAYS
    assert found[0][0] == EPOCH + timedelta(days=20_005)
