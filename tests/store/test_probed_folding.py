"""What probes saw gives the same store in any order and any number of times, on every engine (promise T8)."""

import random
from datetime import timedelta

from collectors.probes.observed import Observation, decode
from tests.builders import DAY, ORDERS_TABLE, complete, writes
from tests.store.test_folding import clear, feed
from watchtower.model.fact import Fact
from watchtower.model.instants import to_micros
from watchtower.ports import Received
from watchtower.store import datasets, retention
from watchtower.store.database import Database
from watchtower.store.retention import Retention

HOUR = timedelta(hours=1)


def seen(hours: float, updated: float | None, rows: int | None = None, **said: object) -> Fact:
    """At so many hours of the day, with data of that hour."""
    at = DAY + hours * HOUR
    new = None if updated is None else to_micros(DAY + updated * HOUR)
    what = Observation(ORDERS_TABLE.namespace, ORDERS_TABLE.name, to_micros(at), updated_at=new, rows=rows, **said)  # type: ignore[arg-type]
    (fact,) = decode(what.record(), Received(at), source="warehouse", kind="dataset_probe").facts
    return fact


STORY = [
    seen(1, 0.5, 100, fields=(("id", "INTEGER"),)),
    seen(2, 0.5, 90),  # rows were deleted
    seen(3, None, 0),
    seen(4, 3.5, 120, fields=(("id", "INTEGER"), ("day", "DATE"))),
    seen(5, 4.5, files=2, partition="2026-11-21", checksum="9f3c"),
    complete("r1", DAY + 6 * HOUR, datasets=(writes(rows=7),)),
]


def test_order_and_repetition_do_not_matter(database: Database) -> None:
    wanted = feed(database, [STORY])
    for seed in range(6):
        dice = random.Random(seed)
        shuffled = [*STORY, *dice.sample(STORY, 3)]
        dice.shuffle(shuffled)
        cut = dice.randrange(1, len(shuffled))
        clear(database)
        assert feed(database, [shuffled[:cut], shuffled[cut:]]) == wanted, f"seed {seed}"


def test_what_the_data_says_goes_before_what_runs_wrote(database: Database) -> None:
    feed(database, [STORY])
    with database.read() as connection:
        known = datasets.by_id(connection, [ORDERS_TABLE.id])[ORDERS_TABLE.id]
        updates = datasets.updates_of(connection, ORDERS_TABLE.id, 10)
        newest = datasets.updates_of(connection, ORDERS_TABLE.id, 1)
    assert known.updated_at == DAY + 4.5 * HOUR
    assert known.fields == (("id", "INTEGER"), ("day", "DATE"))
    assert [(each.at, each.row_count, each.measured) for each in updates] == [
        (DAY + 6 * HOUR, 7, False),
        (DAY + 4.5 * HOUR, None, True),
        (DAY + 3.5 * HOUR, 120, True),
        (DAY + 0.5 * HOUR, 90, True),
    ]
    assert [each.checksum for each in updates] == [None, "9f3c", None, None]
    assert all(each.run_id is None for each in updates if each.measured)
    assert [each.measured for each in newest] == [False, True]  # however many runs wrote since


def test_what_was_seen_long_ago_is_let_go_but_the_newest_stays(database: Database) -> None:
    feed(database, [STORY[:5]])
    gone = retention.delete_old(database, Retention(), DAY + timedelta(days=500))
    assert gone["updates"] == 2
    with database.read() as connection:
        assert [each.at for each in datasets.updates_of(connection, ORDERS_TABLE.id, 10)] == [DAY + 4.5 * HOUR]
