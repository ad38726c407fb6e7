"""Any JSON, and any bytes: facts or rejects, never an exception; and any order and repetition gives the same keys."""

import json
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.openlineage import OpenLineage
from tests.collectors.openlineage import events
from tests.collectors.openlineage.test_bad_input import assert_storable

COLLECTOR = OpenLineage()
WORDS = sorted(
    {
        *(
            "eventType",
            "eventTime",
            "run",
            "runId",
            "job",
            "namespace",
            "name",
            "facets",
            "inputs",
            "outputs",
            "dataset",
        ),
        *(
            "airflow",
            "airflowDagRun",
            "airflowState",
            "dag",
            "dagRun",
            "task",
            "taskInstance",
            "tasksState",
            "parent",
            "root",
        ),
        *("errorMessage", "message", "stackTrace", "nominalTime", "nominalStartTime", "tags", "key", "value", "owners"),
        *(
            "try_number",
            "map_index",
            "retries",
            "dag_id",
            "task_id",
            "run_id",
            "run_type",
            "clear_number",
            "conf",
            "outlets",
        ),
        *("schema", "fields", "outputFacets", "outputStatistics", "rowCount", "timetable", "expression", "timezone"),
    }
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["START", "FAIL", "2026-03-02T08:00:00Z", "scheduled", "[]", "['a']", "0 * * * *", "UTC", "s3://x"]
    )
)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=30,
)
SEEDS = [events.airflow_task("FAIL"), events.airflow_dag("COMPLETE"), events.dbt_node("ABORT"), events.plain()]


def check(body: bytes) -> None:
    decoded = COLLECTOR.decode(body, events.received())
    for fact in decoded.facts:
        assert_storable(fact)
    assert decoded.facts or decoded.rejects or body.strip() == b"[]"


@given(TREES)
@settings(max_examples=300, deadline=None)
def test_any_json_is_facts_or_rejects(tree: Any) -> None:
    check(json.dumps(tree).encode())
    check(json.dumps([tree, events.plain()]).encode())


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=200, deadline=None)
def test_a_real_event_with_anything_in_one_place_is_still_read(seed: Any, data: st.DataObject) -> None:
    event = json.loads(json.dumps(seed))
    place, key = data.draw(st.sampled_from(list(_places(event))))
    place[key] = data.draw(TREES)
    check(json.dumps(event).encode())


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) in value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(cast("list[Any]", value))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - any JSON
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_facts_or_rejects(noise: bytes) -> None:
    check(noise)


@given(st.sampled_from(SEEDS), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_real_event_with_bytes_overwritten_is_facts_or_rejects(seed: Any, where: int, noise: bytes) -> None:
    body = json.dumps(seed).encode()
    at = where % len(body)
    check(body[:at] + noise + body[at + len(noise) :])
