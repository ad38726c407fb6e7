"""Sources that send, in the store: when each told something, in any order, and what was not a word of theirs."""

import random
from datetime import datetime, timedelta

from msgspec.structs import replace

from tests.builders import DAY, ORDERS, complete, start, task_of
from watchtower.model.fact import Fact
from watchtower.model.rule import SenderSnapshot, SubjectKey
from watchtower.model.run import JobRef
from watchtower.model.sender import Sender, longest_silence_s, sender_id
from watchtower.store import due, retention, senders, sources
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.retention import Retention
from watchtower.store.snapshots.sources import SourceLoader
from watchtower.store.sources import Declared

ID = sender_id(ORDERS.source, ORDERS.namespace)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def feed(database: Database, *events: Fact) -> None:
    append(database, Intake(list(events))).result()


def known(database: Database) -> dict[str, Sender]:
    with database.read() as connection:
        return senders.by_id(connection)


def told(when: datetime, *, late_s: float = 0.0) -> Fact:
    """A START that came in late_s after it happened."""
    return replace(start(f"r{when.timestamp()}", when - timedelta(seconds=late_s)), received_at=when)


def loaded(database: Database, ident: str = ID) -> SenderSnapshot:
    with database.read() as connection:
        snapshot = SourceLoader().load(connection, [ident])[SubjectKey("source", ident)]
    assert isinstance(snapshot, SenderSnapshot)
    return snapshot


def test_when_each_day_told_something_is_the_same_in_any_order(database: Database) -> None:
    moments = [DAY + offset for offset in (0 * HOUR, 3 * HOUR, 4 * HOUR, 26 * HOUR, 27 * HOUR)]
    feed(database, *[told(moment) for moment in moments])
    expected = known(database)[ID]
    assert (expected.last_event, longest_silence_s(expected.days)) == (moments[-1], (22 * HOUR).total_seconds())

    shuffled = moments[:]
    random.Random(7).shuffle(shuffled)
    for moment in [*shuffled, *shuffled[:2]]:
        feed(database, replace(told(moment), run=start("other", moment, job=JobRef("b", "b", "b")).run))
    again = known(database)[sender_id("b", "b")]
    assert again.last_event == expected.last_event
    assert [(day.first, day.last) for day in again.days] == [(day.first, day.last) for day in expected.days]


def test_each_word_that_comes_a_minute_after_the_last_counts_and_makes_the_sender_due(database: Database) -> None:
    feed(database, told(DAY))
    database.write(lambda connection: due.forget(connection, due.RULES, [f"source:{ID}"]))
    feed(database, told(DAY + timedelta(seconds=20)))
    assert known(database)[ID].last_event == DAY
    feed(database, told(DAY + MINUTE, late_s=3))
    sender = known(database)[ID]
    assert (sender.last_event, sender.lag_s) == (DAY + MINUTE, 3.0)
    with database.read() as connection:
        assert f"source:{ID}" in {each.subject for each in due.peek(connection, due.RULES, DAY + HOUR, 50)}


def test_history_pings_and_what_a_poller_brings_are_no_words_of_a_sender(database: Database) -> None:
    feed(
        database,
        replace(told(DAY), historical=True),
        replace(told(DAY + MINUTE), kind="pings"),
        replace(told(DAY + 2 * MINUTE), kind="airflow"),
    )
    assert known(database) == {}


def test_a_sender_whose_namespace_is_asked_as_well_is_known_as_such(database: Database) -> None:
    feed(database, told(DAY))
    assert not loaded(database).asked
    asked = Declared("prod-api", "airflow", ORDERS.namespace, 60.0)
    database.write(lambda connection: sources.declare(connection, [asked], DAY))
    assert loaded(database).asked


def test_runs_that_only_asking_told_of_are_counted_since_the_last_event(database: Database) -> None:
    asked = Declared("prod-api", "airflow", ORDERS.namespace, 60.0)
    database.write(lambda connection: sources.declare(connection, [asked], DAY))
    feed(database, told(DAY))
    elsewhere = JobRef(ORDERS.source, "another", "orders")
    runs = [start(f"p{number}", DAY + number * MINUTE) for number in range(1, 13)]
    task = start("t1", DAY + HOUR, job=task_of(ORDERS, "load"))
    feed(database, *(replace(each, kind="airflow") for each in [*runs, task, start("x", DAY + HOUR, job=elsewhere)]))
    assert (loaded(database).sender.last_event, loaded(database).untold) == (DAY, 12)
    feed(database, told(DAY + HOUR))
    assert loaded(database).untold == 0


def test_since_when_watchtower_listens_is_written_down_at_its_start(database: Database) -> None:
    feed(database, told(DAY))
    database.write(lambda connection: senders.await_all(connection, DAY + HOUR))
    assert loaded(database).sender.quiet_since == DAY + HOUR
    feed(database, complete("r", DAY + 2 * HOUR))
    assert loaded(database).sender.quiet_since == DAY + 2 * HOUR


def test_only_the_four_weeks_before_its_last_word_count_and_old_senders_go(database: Database) -> None:
    weeks = [DAY + timedelta(days=day) for day in (0, 1, 20, 40)]
    feed(database, *[told(moment) for moment in weeks])
    assert [day.first for day in known(database)[ID].days] == weeks[2:]
    retention.delete_old(database, Retention(), weeks[-1] + timedelta(days=89))
    assert known(database).keys() == {ID}
    retention.delete_old(database, Retention(), weeks[-1] + timedelta(days=91))
    assert known(database) == {}


def test_a_team_can_be_written_down(database: Database) -> None:
    feed(database, told(DAY))
    database.write(lambda connection: SourceLoader().set_team(connection, {ID: "shop"}))
    assert loaded(database).labels == {"source": ORDERS.source, "namespace": ORDERS.namespace, "team": "shop"}
