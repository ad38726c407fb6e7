"""Prepared statements: what they bind and give is what Core would, on both engines."""

from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from tests.builders import at
from watchtower.store.database import Database
from watchtower.store.schema.alerting import incident_events, incidents
from watchtower.store.statements import any_of, given, prepared

INSERT = prepared(incidents.insert())
NOTE = prepared(incident_events.insert())
BY_ID = (
    select(incidents)
    .where(incidents.c.id.in_(any_of("ids")), incidents.c.resolved_at.is_(None))
    .order_by(incidents.c.id)
)
BY_PAIR = (
    select(incidents.c.id)
    .where(tuple_(incidents.c.incident_key, incidents.c.team).in_(any_of("pairs")))
    .order_by(incidents.c.id)
)


def an_incident(ident: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": ident,
        "incident_key": f"key of {ident}",
        "team": "sales",
        "status": "triggered",
        "severity": "page",
        "title": ident,
        "summary": "100 % of it; %s",
        "labels": {"pipeline": "orders"},
        "started_at": at(0),
        "past_acks": [[1, 2], [3, 4]],
        **changes,
    }


@pytest.fixture
def three(database: Database) -> Database:
    database.write(lambda connection: INSERT.run_each(connection, [an_incident(ident) for ident in "abc"]))
    return database


@pytest.mark.parametrize("ids", [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d", "e"], []])
def test_what_a_prepared_statement_gives_is_what_core_gives(three: Database, ids: list[str]) -> None:
    with three.read() as connection:
        ours = prepared(BY_ID).all(connection, {"ids": ids})
        cores = connection.execute(BY_ID, {"ids": ids}).all()
    assert ours == cores
    assert [row.past_acks for row in ours] == [[[1, 2], [3, 4]]] * len(ours)
    assert {row.started_at for row in ours} <= {at(0)}


def test_pairs_are_sought_as_pairs(three: Database) -> None:
    with three.read() as connection:
        pairs = [("key of a", "sales"), ("key of b", "marketing"), ("key of c", "sales")]
        assert prepared(BY_PAIR).scalars(connection, {"pairs": pairs}) == ["a", "c"]
        assert prepared(BY_PAIR).scalars(connection, {"pairs": pairs[:1]}) == ["a"]
        assert prepared(BY_PAIR).first(connection, {"pairs": pairs[1:2]}) is None


def test_a_list_that_is_one_value_stays_one(three: Database) -> None:
    """A JSON column takes lists of any length through one statement."""
    change = prepared(update(incidents).where(incidents.c.id == given("of")).values(past_acks=given("acks")))
    told = prepared(select(incidents.c.past_acks).where(incidents.c.id == given("of")))
    for acks in ([], [[5, 6]], [[1, 2], [3, 4], [5, 6]]):
        assert three.write(lambda connection, acks=acks: change.run(connection, {"of": "a", "acks": acks})) == 1
        with three.read() as connection:
            assert told.scalar(connection, {"of": "a"}) == acks


def test_columns_that_are_left_out_take_their_defaults(three: Database) -> None:
    def unit(connection: Connection) -> None:
        NOTE.run(connection, {"incident_id": "a", "at": at(1), "kind": "triggered", "text": "one"})
        NOTE.run(connection, {"incident_id": "a", "at": at(2), "kind": "told", "actor": "ann", "text": "two"})

    three.write(unit)
    with three.read() as connection:
        rows = connection.execute(select(incident_events).order_by(incident_events.c.id)).all()
    assert [(row.at, row.kind, row.actor, row.text) for row in rows] == [
        (at(1), "triggered", None, "one"),
        (at(2), "told", "ann", "two"),
    ]


def test_a_count_has_one_row_and_nothing_found_has_none(three: Database) -> None:
    count = prepared(select(func.count()).select_from(incidents).where(incidents.c.id.in_(any_of("ids"))))
    with three.read() as connection:
        assert count.scalar(connection, {"ids": ["a", "b", "d"]}) == 2
        assert count.one(connection, {"ids": []})[0] == 0
        assert prepared(BY_ID).scalar(connection, {"ids": ["d"]}) is None


def test_a_unit_that_fails_takes_back_what_its_prepared_statements_wrote(three: Database) -> None:
    def unit(connection: Connection) -> None:
        prepared(delete(incidents).where(incidents.c.id.in_(any_of("ids")))).run(connection, {"ids": ["a", "b"]})
        INSERT.run(connection, an_incident("c"))

    with pytest.raises(IntegrityError):
        three.write(unit)
    with three.read() as connection:
        assert len(prepared(BY_ID).all(connection, {"ids": ["a", "b", "c"]})) == 3
