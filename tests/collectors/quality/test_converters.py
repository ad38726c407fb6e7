"""What tools write about data tests, in the shapes that they publish → one event for each test."""

from typing import Any

import pytest

from collectors.quality import CONVERTERS, Unread

EXPECTATION: dict[str, Any] = {
    "success": False,
    "meta": {"run_id": {"run_name": "nightly"}, "validation_time": "20260302T080000.123456Z",
             "active_batch_definition": {"data_asset_name": "orders"}},
    "results": [
        {"success": False,
         "expectation_config": {"expectation_type": "expect_not_null", "kwargs": {"column": "id"}},
         "result": {"element_count": 100, "unexpected_count": 3}},
        {"success": True, "expectation_config": {"type": "expect_row_count", "severity": "warning"}},
    ],
}  # fmt: skip
SODA: dict[str, Any] = {
    "dataTimestamp": "2026-03-02T08:00:00+00:00",
    "checks": [
        {"name": "missing_count(id) = 0", "table": "orders", "column": "id", "outcome": "fail",
         "diagnostics": {"value": 3}},
        {"name": "row_count > 0", "table": "orders", "outcome": "pass", "diagnostics": {"value": 100}},
        {"name": "freshness(at) < 1d", "table": "orders", "outcome": "warn", "diagnostics": {}},
        {"name": "not evaluated", "table": "orders", "outcome": None},
    ],
}  # fmt: skip
PANDERA: dict[str, Any] = {
    "SCHEMA": {"MISSING": [{"schema": "orders", "column": "orders", "check": "column_in_dataframe", "error": "x"}]},
    "DATA": {
        "DATAFRAME_CHECK": [
            {"schema": "orders", "column": "amount", "check": "greater_than(0)", "error": "x"},
            {"schema": "orders", "column": "amount", "check": "greater_than(0)", "error": "y"},
        ]
    },
}  # fmt: skip
DEEQU: list[dict[str, Any]] = [
    {"check_status": "Warning", "check_level": "Warning", "constraint_status": "Failure", "check": "orders",
     "constraint_message": "Value: 0.9", "constraint": "CompletenessConstraint(Completeness(id,None))"},
    {"check_status": "Success", "check_level": "Error", "constraint_status": "Success", "check": "orders",
     "constraint_message": "", "constraint": "SizeConstraint(Size(None))"},
]  # fmt: skip
ELEMENTARY: list[dict[str, Any]] = [
    {"test_name": "volume_anomalies", "status": "fail", "severity": "ERROR", "schema_name": "shop",
     "table_name": "orders", "column_name": None, "failures": 1, "detected_at": "2026-03-02T08:00:00+00:00"},
    {"test_name": "skipped", "status": "skipped"},
]  # fmt: skip


def of(kind: str, document: Any) -> list[dict[str, Any]]:
    return CONVERTERS[kind](document)


def short(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(one.get(name) for name in ("check", "status", "severity", "table", "column", "failures"))
        for one in events
    ]


def test_great_expectations() -> None:
    events = of("great_expectations", EXPECTATION)
    assert short(events) == [
        ("expect_not_null", "fail", None, "orders", "id", 3),
        ("expect_row_count", "pass", "warn", "orders", None, None),
    ]
    assert (events[0]["at"], events[0]["run"], events[0]["rows"]) == ("2026-03-02T08:00:00Z", "nightly", 100)
    checkpoint = {"run_results": {"a": {"validation_result": EXPECTATION}, "b": EXPECTATION}}
    assert len(of("great_expectations", checkpoint)) == 4


def test_soda() -> None:
    assert short(of("soda", SODA)) == [
        ("missing_count(id) = 0", "fail", None, "orders", "id", 3),
        ("row_count > 0", "pass", None, "orders", None, None),
        ("freshness(at) < 1d", "warn", None, "orders", None, None),
    ]


def test_pandera() -> None:
    assert short(of("pandera", PANDERA)) == [
        ("schema", "fail", None, "orders", None, None),
        ("column_in_dataframe", "fail", None, "orders", "orders", 1),
        ("greater_than(0)", "fail", None, "orders", "amount", 2),
    ]
    assert short(of("pandera", {"schema": "orders", "passed": True})) == [
        ("schema", "pass", None, "orders", None, None)
    ]


def test_deequ() -> None:
    assert short(of("deequ", DEEQU)) == [
        ("CompletenessConstraint(Completeness(id,None))", "fail", "warn", "orders", None, None),
        ("SizeConstraint(Size(None))", "pass", None, "orders", None, None),
    ]


def test_elementary() -> None:
    assert short(of("elementary", ELEMENTARY)) == [("volume_anomalies", "fail", None, "shop.orders", None, 1)]


@pytest.mark.parametrize("kind", CONVERTERS)
@pytest.mark.parametrize("document", [None, 7, "text", [], {}, [1], {"results": 1}, [{"a": 1}], {"checks": {}}])
def test_what_is_something_else_is_refused_with_what_was_looked_for(kind: str, document: Any) -> None:
    with pytest.raises((Unread, ValueError), match=r"want|Expecting"):
        of(kind, document)


@pytest.mark.parametrize("kind", CONVERTERS)
def test_garbage_inside_is_survived(kind: str) -> None:
    documents: dict[str, Any] = {
        "great_expectations": {"results": [7, {}, {"expectation_config": 3, "success": "x", "result": []}], "meta": 1},
        "soda": {"checks": [7, {"outcome": 3}, {"outcome": "fail", "diagnostics": 1}]},
        "pandera": {"DATA": {"a": [1, {}], "b": 3}},
        "deequ": [{"constraint": None, "constraint_status": 3}],
        "elementary": [{"test_name": 1, "status": "fail", "failures": "many"}],
    }
    assert all(isinstance(one["check"], str) for one in of(kind, documents[kind]))
