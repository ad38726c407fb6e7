"""Numbers told in our own JSON: what is taken, and what is refused and how that is said."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.series import MAX_SAMPLES, Series
from watchtower.model.fact import Fact
from watchtower.model.run import JobRef
from watchtower.model.series import RESERVED_LABELS, Sample, SeriesKind
from watchtower.ports import Decoded, Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
RECEIVED = Received(NOW)
KEYS = ["name", "value", "job", "at", "labels", "x"]
MINIMAL: dict[str, Any] = {"name": "rows", "value": 12}


def decode(body: Any, received: Received = RECEIVED) -> Decoded:
    return Series().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), received)


def only(**said: Any) -> Fact:
    decoded = decode({**MINIMAL, **said})
    assert not decoded.rejects, decoded.rejects
    return decoded.facts[0]


def test_a_sample_needs_a_name_and_a_value() -> None:
    (patch,) = only().series
    assert (patch.ref.name, patch.ref.job, patch.samples) == ("rows", None, (Sample(NOW, 12.0),))
    assert (patch.kind, patch.is_delta, patch.unit) == (SeriesKind.GAUGE, False, None)


def test_everything_that_can_be_said_is_read() -> None:
    fact = only(
        value=-0.5,
        job="train_churn",
        namespace="prod",
        task="score",
        run="scheduled__1",
        at="2026-03-02T08:59:00+01:00",
        labels={"model": "churn", "fold": 3, "empty": "", "best": True},
        unit="ratio",
        kind="delta",
    )
    (patch,) = fact.series
    at = NOW - timedelta(minutes=1)
    assert patch.ref.job == JobRef("", "prod", "train_churn", "score")
    assert patch.ref.labels == {"model": "churn", "fold": "3", "best": "true"}
    assert patch.samples == (Sample(at, -0.5, run="scheduled__1"),)
    assert (patch.kind, patch.is_delta, patch.unit, fact.event_time) == (SeriesKind.SUM, True, "ratio", at)


def test_a_list_brings_one_fact_each_and_a_bad_one_costs_its_neighbours_nothing() -> None:
    decoded = decode([MINIMAL, {"name": "rows"}, {**MINIMAL, "at": 1_772_400_000.5}])
    assert [fact.series[0].samples[0].at for fact in decoded.facts] == [
        NOW, datetime(2026, 3, 1, 21, 20, 0, 500_000, tzinfo=UTC),
    ]  # fmt: skip
    (reject,) = decoded.rejects
    assert (reject.index, reject.reason, reject.message, reject.body) == (
        1, "value", "value None is no number", b'{"name": "rows"}',
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"name=1", b'{"name": "a", "value": NaN}', b"\xff", b"[1,", b"[" * 100_000, b'"\\ud800"'],
    ids=repr,
)
def test_what_is_no_json_is_refused_as_a_whole(body: bytes) -> None:
    decoded = decode(body)
    (reject,) = decoded.rejects
    assert (decoded.facts, reject.permanent, reject.reason) == ((), True, "not_json")


@pytest.mark.parametrize(
    ("said", "reason", "says"),
    [
        ({"name": ""}, "name", "'' is no name of a series"),
        ({"name": "9lives"}, "name", "is no name of a series"),
        ({"name": "a b"}, "name", "is no name of a series"),
        ({"name": "a@b"}, "name", "is no name of a series"),
        ({"name": "x" * 256}, "name", "at most 255 letters"),
        ({"name": 7}, "name", "7 is no name"),
        ({"value": "12"}, "value", "value '12' is no number"),
        ({"value": True}, "value", "value True is no number"),
        ({"value": None}, "value", "is no number"),
        ({"value": 10**400}, "value", "too large"),
        ({"jbo": "a"}, "unknown_field", "'jbo' is no field of a sample; known: name, value, job"),
        ({"task": "load"}, "job", "belong to a job"),
        ({"namespace": "prod"}, "job", "belong to a job"),
        ({"job": 5}, "job", "job 5 is no text"),
        ({"job": "x" * 513}, "job", "at most 512"),
        ({"job": "a\0b"}, "job", "is no text"),
        ({"run": "a\0"}, "run", "is no text"),
        ({"at": "2026-03-02T08:00:00"}, "time", "has no time zone"),
        ({"at": "yesterday"}, "time", "is no time"),
        ({"at": True}, "time", "is no time"),
        ({"at": 1e30}, "time", "is no time"),
        ({"at": "2026-03-02T09:00:01Z"}, "time", "more than an hour ahead"),
        ({"at": "1999-12-31T23:59:59Z"}, "time", "before 2000"),
        ({"labels": ["a"]}, "labels", "is no object"),
        ({"labels": {"a.b": "c"}}, "labels", "'a.b' is no name of a label"),
        ({"labels": {"team": "c"}}, "labels", "'team' is set by Watchtower itself"),
        ({"labels": {"a": {}}}, "labels", "is no value of a label"),
        ({"labels": {"a": "x" * 257}}, "labels", "at most 256 characters"),
        ({"labels": {f"l{n}": "x" for n in range(65)}}, "labels", "65 labels; at most 64"),
        ({"unit": "x" * 64}, "unit", "at most 63"),
        ({"kind": "histogram"}, "kind", "kind 'histogram' is unknown; known: gauge, sum, delta"),
    ],
    ids=repr,
)
def test_what_cannot_be_taken_is_told_to_its_sender(said: dict[str, Any], reason: str, says: str) -> None:
    decoded = decode({**MINIMAL, **said})
    (reject,) = decoded.rejects
    assert (decoded.facts, reject.permanent, reject.reason) == ((), True, reason)
    assert says in reject.message


@pytest.mark.parametrize("value", ["1e999", "-1e999", "1" + "0" * 400])
def test_a_number_beyond_a_float_costs_only_its_sample(value: str) -> None:
    decoded = decode(f'[{{"name": "a", "value": {value}}}, {{"name": "a", "value": 1}}]'.encode())
    assert [reject.reason for reject in decoded.rejects] == ["value"]
    assert len(decoded.facts) == 1


def test_a_list_that_would_hold_up_others_is_refused_as_a_whole() -> None:
    (reject,) = decode([MINIMAL] * (MAX_SAMPLES + 1)).rejects
    assert (reject.permanent, reject.message) == (True, "10,001 samples in one list; send at most 10,000 at once")


def test_labels_that_watchtower_makes_are_refused() -> None:
    for name in RESERVED_LABELS:
        assert decode({**MINIMAL, "labels": {name: "x"}}).rejects[0].reason == "labels"


@pytest.mark.parametrize(
    ("at", "replay", "historical"),
    [
        (None, False, False),
        ("2026-03-02T07:00:00Z", False, False),
        ("2026-03-02T06:59:59Z", False, True),
        (None, True, True),
    ],
)
def test_what_is_old_or_replayed_is_history(at: str | None, replay: bool, historical: bool) -> None:
    (fact,) = decode({**MINIMAL, "at": at}, Received(NOW, replay=replay)).facts
    assert (fact.historical, fact.series[0].samples[0].historical) == (historical, historical)


def test_a_repeat_is_the_same_fact_whenever_it_comes() -> None:
    said = {**MINIMAL, "at": "2026-03-02T07:59:00Z"}
    (first,), (second,) = decode(said).facts, decode(said, Received(NOW + timedelta(minutes=5))).facts
    assert first.key == second.key


def test_a_token_of_one_source_tells_of_its_own_jobs() -> None:
    (fact,) = decode({**MINIMAL, "job": "orders"}, Received(NOW, source="airflow-prod")).facts
    assert (fact.source, fact.series[0].ref.job) == ("airflow-prod", JobRef("airflow-prod", "", "orders"))


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_body_makes_it_raise(body: bytes) -> None:
    decoded = decode(body)
    assert all(reject.message for reject in decoded.rejects)
