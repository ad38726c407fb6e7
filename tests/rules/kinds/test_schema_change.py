"""schema_change: columns that are gone, retyped or new, since when, and what ends it."""

from datetime import datetime
from typing import Any

from rules.kinds.schema_change import SchemaChange
from tests.rules.timeline import at, of_dataset, only, rule, update
from watchtower.model.rule import DatasetSnapshot, Evaluation
from watchtower.model.run import SchemaVersion

KIND = SchemaChange()
ID, TOTAL, NOTE = ("id", "bigint"), ("total", "numeric"), ("note", "text")
NOW = at(3, "08:00")
Columns = tuple[tuple[str, str], ...]


def told(*forms: tuple[Columns, datetime, datetime], now: Columns | None = None) -> DatasetSnapshot:
    """Each with when it was first and last told; the last one is that of today, unless said otherwise."""
    versions = tuple(SchemaVersion(first, last, fields) for fields, first, last in forms)
    return of_dataset([update(at(3, "06:00"))], fields=now or forms[-1][0], versions=versions)


def evaluate(snapshot: DatasetSnapshot, when: datetime = NOW, **options: Any) -> Evaluation:
    return KIND.evaluate(rule(KIND, **options), snapshot, when)


def test_a_column_that_is_gone_is_told_for_a_day() -> None:
    snapshot = told(((ID, TOTAL), at(0), at(3, "05:00")), ((ID,), at(3, "05:40"), at(3, "05:00")))
    evaluation = evaluate(snapshot)
    found = only(evaluation)
    assert found.since == at(3, "05:40")
    assert found.summary == "shop.public.orders has other columns: total is gone"
    assert (found.evidence["removed"], found.evidence["run_id"]) == (["total"], "r050600")
    assert evaluation.next_at == at(4, "05:40")
    assert not evaluate(snapshot, at(4, "05:40")).violations


def test_a_type_in_capitals_is_the_same_type() -> None:
    same = told(((ID,), at(0), at(2)), ((("id", "BIGINT"),), at(3), at(3)))
    assert not evaluate(same).violations
    other = told(((ID,), at(0), at(2)), ((("id", "text"),), at(3), at(3)))
    assert only(evaluate(other)).summary.endswith("id was bigint and is text")


def test_what_is_new_is_told_only_if_asked_for() -> None:
    snapshot = told(((ID,), at(0), at(2)), ((ID, NOTE), at(3), at(3)))
    assert not evaluate(snapshot).violations
    assert only(evaluate(snapshot, of=["added"])).summary.endswith("note is new")


def test_a_second_change_does_not_hide_the_first() -> None:
    snapshot = told(
        ((ID, TOTAL), at(0), at(2)),
        ((ID,), at(3, "01:00"), at(3, "01:00")),
        ((ID, NOTE), at(3, "05:00"), at(3, "05:00")),
    )
    assert only(evaluate(snapshot)).summary.endswith("total is gone; note is new")


def test_columns_that_are_back_end_it() -> None:
    forms = ((ID, TOTAL), at(0), at(3, "07:00")), ((ID,), at(3, "05:00"), at(3, "06:00"))
    assert not evaluate(told(*forms, now=(ID, TOTAL))).violations


def test_nothing_is_said_of_what_was_never_told() -> None:
    assert evaluate(of_dataset([])).learning == "its columns were never told"
    assert not evaluate(told(((ID,), at(0), at(3)))).violations
    assert "alert when columns are removed or retyped, for 1d." in KIND.describe(rule(KIND))
