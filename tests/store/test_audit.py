"""The audit chain finds every way in which it can be tampered with."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, text, update

from watchtower.clock import ManualClock
from watchtower.store import audit as chain
from watchtower.store.audit import Entry, Head
from watchtower.store.database import Database
from watchtower.store.schema.access import audit
from watchtower.store.schema.observed import meta

KEY = b"k" * 32
ROWS = 12


@pytest.fixture
def written(database: Database, clock: ManualClock) -> Database:
    for number in range(ROWS):
        entry = Entry(
            clock.now(), "person:primary", "silence.create", f"silence {number}", "data", "req", None, {"n": number}
        )
        database.write(lambda c, entry=entry: chain.append(c, KEY, entry))
        clock.advance(1)
    return database


def verdict(database: Database, **options: Any) -> str | None:
    with database.read() as connection:
        return chain.verify(connection, KEY, **options).fault


def test_an_untouched_chain_is_whole(written: Database) -> None:
    with written.read() as connection:
        found = chain.verify(connection, KEY)
        assert (found.rows, found.fault, found.head) == (ROWS, None, chain.head(connection))
    assert Head.parse(str(found.head)) == found.head


def test_an_empty_chain_is_whole(database: Database) -> None:
    assert verdict(database) is None


def test_any_change_of_any_column_of_any_row_is_found(written: Database) -> None:
    with written.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.seq)).mappings().all()
    for row in rows[:: ROWS // 3]:
        for column in row.keys() - {"seq"}:
            value = {"at": row["at"] + timedelta(microseconds=1), "digest": b"\1" * 32}.get(column, "other")
            here = audit.c.seq == row["seq"]
            written.write(
                lambda c, here=here, column=column, value=value: c.execute(
                    update(audit).where(here).values({column: value})
                )
            )
            assert f"row {row['seq']} " in (verdict(written) or ""), column
            written.write(
                lambda c, here=here, column=column, row=row: c.execute(
                    update(audit).where(here).values({column: row[column]})
                )
            )
    assert verdict(written) is None


def cut_tail(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.seq > ROWS - 2))


def cut_all(connection: Connection) -> None:
    connection.execute(delete(audit))


def cut_middle(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.seq == 5))


def cut_and_close_up(connection: Connection) -> None:
    cut_middle(connection)
    for seq in range(6, ROWS + 1):
        connection.execute(update(audit).where(audit.c.seq == seq).values(seq=seq - 1))


def swap(connection: Connection) -> None:
    for old, new in ((4, 99), (5, 4), (99, 5)):
        connection.execute(update(audit).where(audit.c.seq == old).values(seq=new))


def repeat_last(connection: Connection) -> None:
    row = connection.execute(select(audit).where(audit.c.seq == ROWS)).mappings().one()
    connection.execute(audit.insert(), {**row, "seq": ROWS + 1})


def forget_head(connection: Connection) -> None:
    connection.execute(delete(meta).where(meta.c.key == "audit_head"))


@pytest.mark.parametrize("tamper", [cut_tail, cut_all, cut_middle, cut_and_close_up, swap, repeat_last, forget_head])
def test_cuts_swaps_and_repeats_are_found(written: Database, tamper: Callable[[Connection], None]) -> None:
    written.write(tamper)
    assert verdict(written) is not None


def test_another_key_cannot_continue_the_chain(written: Database, clock: ManualClock) -> None:
    entry = Entry(clock.now(), "person:x", "token.create", "forged")
    written.write(lambda c: chain.append(c, b"x" * 32, entry))
    assert f"row {ROWS + 1} " in (verdict(written) or "")


def test_an_exported_head_tells_an_earlier_copy_of_the_store(written: Database) -> None:
    with written.read() as connection:
        exported = chain.head(connection)
    assert verdict(written, exported=exported) is None
    assert "cut off" in (verdict(written, exported=Head(ROWS + 3, b"\0" * 32)) or "")
    assert "not the one" in (verdict(written, exported=replace(exported, digest=b"\0" * 32)) or "")


def test_an_entry_is_written_with_the_change_or_not_at_all(written: Database, clock: ManualClock) -> None:
    def unit(connection: Connection) -> None:
        chain.append(connection, KEY, Entry(clock.now(), "system", "config.reload", "watchtower.yaml"))
        raise RuntimeError("the change fails")

    with pytest.raises(RuntimeError):
        written.write(unit)
    with written.read() as connection:
        assert chain.verify(connection, KEY).rows == ROWS
        assert connection.execute(text("SELECT count(*) FROM audit")).scalar_one() == ROWS


def test_a_head_from_before_the_first_row_says_nothing_of_the_rows(written: Database) -> None:
    with written.read() as connection:
        assert chain.verify(connection, KEY, exported=Head(0, b"")).fault is None
