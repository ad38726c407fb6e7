"""The run event of Watchtower's own: what each field says, and what bad ones cost."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.events import Events, EventsConfig
from collectors.events.run_event_schema import FIELDS, SCHEMA
from collectors.events.states import state_of
from collectors.identity import openlineage_alias, run_alias, task_alias
from watchtower.model.fact import Fact
from watchtower.model.origin import origin_words
from watchtower.model.run import RunState, Trigger
from watchtower.ports import Decoded, Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
FULL: dict[str, Any] = {
    "job": "orders",
    "event": "fail",
    "run": "2026-03-02",
    "at": "2026-03-02T07:59:00Z",
    "namespace": "prod",
    "task": "load",
    "attempt": 2,
    "max_attempts": 3,
    "map_index": 0,
    "final": False,
    "generation": 1,
    "set_off_by": [
        {"type": "purchase_order.created", "source": "shop", "id": 4711, "at": 1772436900},
        {"job": "all", "run": "r0"},
        {"dataset": "a", "namespace": "postgres://w:5432", "job": "sync.load", "run": "s1"},
        {"nothing": "of this"},
    ],
    "started_at": 1772437000,
    "ended_at": "2026-03-02T07:58:59Z",
    "nominal_start": "2026-03-02T07:00:00Z",
    "error": {"message": "no space left", "type": "OSError", "stack": "Traceback …"},
    "output": "line\nlast line",
    "trigger": "manual",
    "actor": "ada",
    "environment": "prod",
    "code_version": "abc123",
    "url": "https://tool.example/runs/1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "openlineage_run_id": "ol-1",
    "tags": {"tier": 1, "gold": True},
    "owner": "data",
    "description": "loads orders",
    "parent": {"job": "all", "run": "r0", "namespace": "prod"},
    "inputs": [{"namespace": "s3://in", "name": "a", "rows": 3}],
    "outputs": [{"namespace": "postgres://w:5432", "name": "b", "rows": 2, "bytes": 10, "files": 1, "partition": "p"}],
}


def decode(*events: Any, config: EventsConfig | None = None, **changes: Any) -> Decoded:
    body = json.dumps(list(events) if len(events) != 1 else events[0]).encode()
    return Events(config).decode(body, Received(NOW, **changes))


def fact(**said: Any) -> Fact:
    (found,) = decode({"job": "backup", "event": "start", **said}).facts
    return found


def test_every_field_says_what_the_schema_says() -> None:
    found = decode(FULL)
    (told,) = found.facts
    run, job = told.run, told.jobs[0]
    assert run
    assert not found.skipped
    assert (run.job.source, run.job.namespace, run.job.pipeline, run.job.task) == (
        "openlineage:prod",
        "prod",
        "orders",
        "load",
    )
    native = task_alias("openlineage:prod", "prod", "orders", "2026-03-02", task="load", map_index=0, attempt=2)
    assert run.aliases == (openlineage_alias("prod", "orders.load", "ol-1"), native)
    assert run.parent_alias == run_alias("openlineage:prod", "prod", "all", "r0")
    assert (run.state, run.event_type, run.final, run.attempt, run.max_attempts) == (
        RunState.FAILED,
        "FAIL",
        False,
        2,
        3,
    )
    assert run.ended_at == NOW - timedelta(seconds=61)
    assert run.started_at == datetime.fromtimestamp(1772437000, UTC)
    assert run.error
    assert (run.error.message, run.error.type, run.output) == ("no space left", "OSError", "line\nlast line")
    assert (run.trigger, run.actor, run.code_version, run.generation) == (Trigger.MANUAL, "ada", "abc123", 1)
    assert run.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert run.tags == {"tier": "1", "gold": "true"}
    assert [(io.ref.name, io.direction, io.row_count, io.size_bytes) for io in run.datasets] == [
        ("a", "in", 3, None),
        ("b", "out", 2, 10),
    ]
    assert [(origin.at, origin_words(origin)) for origin in run.origins] == [
        (datetime.fromtimestamp(1772436900, UTC), "purchase_order.created 4711 of shop"),
        (None, "run r0 of all"),
        (None, "a, written by sync.load in run s1"),
    ]
    assert (job.owner, job.description) == ("data", "loads orders")
    assert set(FULL) | {"schedule", "timezone"} == set(FIELDS)


def test_what_set_a_run_off_may_be_a_text_and_means_that_an_event_did() -> None:
    (told,) = decode({"job": "orders", "event": "start", "set_off_by": "purchase order 4711"}).facts
    assert told.run
    assert (told.run.trigger, [origin_words(each) for each in told.run.origins]) == ("event", ["purchase order 4711"])


def test_the_published_schema_is_the_one_in_force() -> None:
    assert json.loads((ROOT / "docs/schemas/run-event.json").read_text()) == SCHEMA


def test_the_page_lists_every_field() -> None:
    page = (ROOT / "docs/events.md").read_text()
    for name, (_, text) in FIELDS.items():
        assert f"| `{name}` | {text} |" in page


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("START", RunState.RUNNING),
        ("complete", RunState.SUCCEEDED),
        ("Succeeded", RunState.SUCCEEDED),
        ("InProgress", RunState.RUNNING),
        ("TIMED_OUT", RunState.TIMED_OUT),
        ("up_for_retry", RunState.RETRY_WAIT),
        ("canceled", RunState.CANCELLED),
        ("sing", None),
    ],
)
def test_words_of_many_tools_are_understood(word: str, state: RunState | None) -> None:
    assert state_of(word) is state


def test_a_start_and_an_end_of_one_run_meet_and_without_an_id_they_do_not() -> None:
    assert fact(run="r").run.aliases == fact(run="r", event="complete").run.aliases  # pyright: ignore[reportOptionalMemberAccess]
    alone, later = fact(at="2026-03-02T07:00:00Z"), fact(at="2026-03-02T07:00:01Z")
    assert alone.run
    assert later.run
    assert alone.run.aliases != later.run.aliases


def test_a_task_belongs_to_the_run_of_its_pipeline() -> None:
    child, parent = fact(run="r", task="load").run, fact(run="r").run
    assert child
    assert parent
    assert child.parent_alias == parent.aliases[0]


def test_a_repeat_is_the_same_fact_and_an_old_event_is_history() -> None:
    assert fact(at="2026-03-02T07:59:00Z").key == fact(at="2026-03-02T07:59:00Z").key
    assert not fact(at="2026-03-02T07:59:00Z").historical
    assert fact(at="2026-03-02T05:00:00Z").historical
    assert decode({"job": "x", "event": "fail"}, replay=True).facts[0].historical


def test_a_clock_that_is_ahead_is_not_believed() -> None:
    told = fact(event="fail", at="2026-03-02T12:00:00Z")
    assert told.run
    assert (told.clock_suspect, told.event_time, told.run.ended_at) == (True, NOW, NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempt", "two"),
        ("started_at", "yesterday"),
        ("started_at", 1e300),
        ("tags", ["a"]),
        ("error", 7),
        ("owner", {"a": 1}),
        ("map_index", -1),
        ("outputs", "none"),
        ("outputs", [{"name": "b"}]),
    ],
)
def test_a_bad_field_costs_that_field_only(field: str, value: Any) -> None:
    found = decode({"job": "x", "event": "fail", "task": "t", "run": "r", field: value})
    assert (len(found.facts), list(found.skipped)) == (1, [field])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"7", "not_an_event"),
        (b'["a"]', "not_an_event"),
        (b"{}", "no_event"),
        (b'{"event": "fail"}', "no_job"),
        (b'{"job": "x", "event": "sing"}', "unknown_event"),
        (b'{"job": "x", "event": "fail", "tags": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    found = Events().decode(body, Received(NOW))
    assert ([reject.reason for reject in found.rejects], found.facts) == ([reason], ())


def test_one_bad_event_costs_its_neighbours_nothing() -> None:
    found = decode({"job": "a", "event": "start"}, {"job": "b"}, {"job": "c", "event": "fail"})
    assert [told.run.job.pipeline for told in found.facts if told.run] == ["a", "c"]
    assert [reject.index for reject in found.rejects] == [1]


def test_secrets_are_taken_out_and_names_stay() -> None:
    told = fact(
        job="token:refresh", event="fail", error="login with password=hunter2 refused", output="Bearer abcdefgh12"
    )
    assert told.run
    assert told.run.job.pipeline == "token:refresh"
    assert told.run.error
    assert told.run.error.message == "login with password=*** refused"
    assert b"hunter2" not in told.body
    assert b"abcdefgh12" not in told.body


def test_the_source_is_that_of_the_namespace_or_of_the_token() -> None:
    collector = Events(EventsConfig(namespace="shop"))
    collector.source_of = lambda namespace: f"source-of-{namespace}"
    body = b'{"job": "x", "event": "start"}'
    assert collector.decode(body, Received(NOW)).facts[0].source == "source-of-shop"
    assert collector.decode(body, Received(NOW, source="mine")).facts[0].source == "mine"
