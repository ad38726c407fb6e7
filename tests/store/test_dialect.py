"""What both engines must answer alike."""

from watchtower.store import dialect
from watchtower.store.database import Database
from watchtower.store.schema.observed import meta


def test_only_what_was_new_is_counted(database: Database) -> None:
    one, two = {"key": "one", "value": "1"}, {"key": "two", "value": "2"}
    counts = [
        database.write(lambda connection, rows=rows: dialect.insert_new(connection, meta, rows))
        for rows in ([], [one], [one], [one, two], [one, two])
    ]
    assert counts == [0, 1, 0, 1, 0]
