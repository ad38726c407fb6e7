"""What is remembered of committed facts: enough to fold nothing twice, and no more than a bounded number of bytes."""

import pickle
from collections.abc import Hashable
from types import MappingProxyType
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from tests.builders import ORDERS, ORDERS_TABLE, at, complete, owned
from watchtower.model.fact import Fact
from watchtower.model.run import DatasetPatch, JobPatch
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.known import Known, fingerprint, known_of
from watchtower.store.schema.observed import datasets, jobs

ENTRY_BYTES = 1_000  # at most, with its key: a full memory of them takes some 30 MB
WIDE = DatasetPatch(ORDERS_TABLE, fields=tuple((f"column_{number}", f"varchar({number})") for number in range(2_000)))
LONG = JobPatch(ORDERS, description="loads the orders of one hour " * 300, tags={"tier": "1", "note": "x" * 2_000})


def told(minute: int, **changes: Any) -> Fact:
    return replace(complete(f"r{minute}", at(60 * minute)), jobs=(LONG,), datasets=(WIDE,), **changes)


def never(*_given: object, **_more: object) -> None:
    raise AssertionError("what is known was loaded again")


def test_what_is_remembered_of_a_job_or_a_dataset_does_not_grow_with_what_was_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered: dict[Hashable, Any] = {}
    monkeypatch.setattr(known_of(database.writing), "keep", remembered.update)

    append(database, Intake([told(minute) for minute in range(20)])).result(60)

    assert len(remembered) >= 40  # each of the two at each minute
    assert max(len(pickle.dumps(entry)) for entry in remembered.items()) < ENTRY_BYTES


def test_what_is_remembered_is_not_loaded_and_folded_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    append(database, Intake([told(0)])).result(60)
    monkeypatch.setattr("watchtower.store.jobs._documents.load", never)
    monkeypatch.setattr("watchtower.store.datasets._documents.load", never)

    append(database, Intake([told(0, body=b"{ }")])).result(60)


def test_another_word_of_the_same_minute_is_folded_though_much_is_remembered(database: Database) -> None:
    append(database, Intake([told(0)])).result(60)

    narrow = replace(told(0), event_time=at(2), datasets=(replace(WIDE, fields=(("id", "uuid"),)),))
    append(database, Intake([owned(ORDERS, "shop-data", at(1)), narrow])).result(60)

    with database.read() as connection:
        assert connection.execute(select(jobs.c.owner)).scalar_one() == "shop-data"
        assert connection.execute(select(datasets.c.fields)).scalar_one() == [["id", "uuid"]]


def test_the_same_tags_in_another_order_or_another_mapping_are_the_same_word() -> None:
    one = replace(LONG, tags={"tier": "1", "team": "shop"})
    other = replace(LONG, tags=MappingProxyType({"team": "shop", "tier": "1"}))
    assert fingerprint(one) == fingerprint(other) != fingerprint(replace(one, tags={"tier": "2", "team": "shop"}))


def test_of_more_than_may_be_remembered_the_younger_half_is_kept() -> None:
    known = Known(most=4)
    known.keep({name: name for name in "abcd"})
    known.keep({"a": "again"})  # young again
    assert [known.get(name) for name in "abcd"] == ["again", "b", "c", "d"]
    known.keep({"e": "e"})
    assert [known.get(name) for name in "abcde"] == ["again", None, None, None, "e"]
