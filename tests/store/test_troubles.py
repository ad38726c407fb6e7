"""What was wrong with what jobs and datasets depend on: from when to when, and who looks again because of it."""

from datetime import timedelta

from sqlalchemy import Connection, select

from tests.builders import DAY, ORDERS, ORDERS_TABLE, complete
from watchtower.model.source import Problem, Trouble
from watchtower.store import due, troubles
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append_all

HOUR = timedelta(hours=1)
DOWN = Problem("orders-api", "https://api.example.com answers 503", concerns=("pipeline:ord*",))
GONE = Problem("orders.csv", "orders.csv is not there", concerns=(f"dataset:{ORDERS_TABLE.id}",))
OWN = Problem("pool", "the pool is full")  # of the source only


def note(database: Database, *problems: Problem, hours: float) -> None:
    now = DAY + hours * HOUR
    database.write(lambda connection: troubles.note(connection, "probe", problems, now))


def told(database: Database) -> list[Trouble]:
    with database.read() as connection:
        return troubles.newest(connection)


def marked(database: Database) -> set[str]:
    """What is due, and no longer."""

    def take(connection: Connection) -> set[str]:
        found = {row.subject for row in connection.execute(select(due.due.c.subject))}
        connection.execute(due.due.delete())
        return found

    return database.write(take)


def test_a_trouble_has_a_beginning_and_an_end(database: Database) -> None:
    note(database, DOWN, GONE, OWN, hours=1)
    note(database, DOWN, GONE, OWN, hours=2)
    note(database, GONE, OWN, hours=3)
    assert {each.key: (each.since, each.until) for each in told(database)} == {
        "orders-api": (DAY + HOUR, DAY + 3 * HOUR),
        "orders.csv": (DAY + HOUR, None),
    }


def test_one_that_comes_again_is_another_one(database: Database) -> None:
    for hours, problems in ((1, [DOWN]), (2, []), (3, [DOWN])):
        note(database, *problems, hours=hours)
    assert [(each.since, each.until) for each in told(database)] == [
        (DAY + 3 * HOUR, None),
        (DAY + HOUR, DAY + 2 * HOUR),
    ]


def test_its_words_may_change_while_it_stands(database: Database) -> None:
    note(database, DOWN, hours=1)
    note(database, Problem(DOWN.key, "it answers 500", concerns=DOWN.concerns), hours=2)
    assert [(each.summary, each.since) for each in told(database)] == [("it answers 500", DAY + HOUR)]


def test_what_it_concerns_is_looked_at_again_when_it_begins_and_when_it_ends_only(database: Database) -> None:
    database.write(lambda connection: append_all(connection, [Intake([complete("r1", DAY)])]))
    marked(database)
    concerned = {f"job:{ORDERS.id}", f"dataset:{ORDERS_TABLE.id}"}
    note(database, DOWN, GONE, hours=1)
    assert marked(database) == concerned
    note(database, DOWN, GONE, hours=2)
    assert marked(database) == set()
    note(database, hours=3)
    assert marked(database) == concerned


def test_what_ended_long_ago_is_let_go(database: Database) -> None:
    note(database, DOWN, hours=1)
    note(database, hours=2)
    note(database, GONE, hours=24 * 8)
    assert [each.key for each in told(database)] == ["orders.csv"]


def test_those_of_a_source_that_is_no_longer_configured_end(database: Database) -> None:
    note(database, DOWN, hours=1)
    database.write(lambda connection: troubles.end_all(connection, ["probe", "other"], DAY + 2 * HOUR))
    assert [each.until for each in told(database)] == [DAY + 2 * HOUR]
