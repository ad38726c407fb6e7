"""What was read and written, how much, and what a dataset says of itself."""

from typing import Any

import pytest

from collectors.openlineage.datasets import FACET_BYTES, MAX_DATASETS
from tests.collectors.openlineage import events
from watchtower.model.run import DatasetIO, DatasetRef

TABLE = ("postgres://db.example.com:5432", "shop.public.orders")


def io_of(event: Any) -> DatasetIO:
    (io,) = events.run_of(event).datasets
    return io


def test_statistics_are_counts() -> None:
    table = events.dataset(*TABLE, outputStatistics={"rowCount": 1200, "size": 88000, "fileCount": 2})
    io = io_of(events.plain("COMPLETE", outputs=[table]))
    assert (io.ref, io.direction) == (DatasetRef(*TABLE), "out")
    assert (io.row_count, io.size_bytes, io.file_count) == (1200, 88000, 2)


def test_quality_metrics_fill_in_where_statistics_are_silent() -> None:
    table = events.dataset(
        *TABLE,
        inputStatistics={"rowCount": 10},
        dataQualityMetrics={"rowCount": 99, "bytes": 500, "columnMetrics": {"id": {"nullCount": 0}}},
    )
    io = io_of(events.plain("COMPLETE", inputs=[table]))
    assert (io.direction, io.row_count, io.size_bytes) == ("in", 10, 500)
    assert io.facets["dataQualityMetrics"]["columnMetrics"] == {"id": {"nullCount": 0}}


@pytest.mark.parametrize("count", [-1, "many", None, True, 2**63, 1.5, [], {}])
def test_a_count_that_is_none_is_left_out(count: Any) -> None:
    table = events.dataset(*TABLE, outputStatistics={"rowCount": count, "size": 5})
    io = io_of(events.plain("COMPLETE", outputs=[table]))
    assert (io.row_count, io.size_bytes) == (None, 5)


def test_of_two_places_the_one_made_for_it_wins() -> None:
    table = {
        **events.dataset(*TABLE),
        "facets": {"dataQualityMetrics": {"rowCount": 1}, "mine": {"a": 1}},
        "inputFacets": {"dataQualityMetrics": {"rowCount": 2}},
    }
    io = io_of(events.plain("COMPLETE", inputs=[table]))
    assert (io.row_count, io.facets["mine"]) == (2, {"a": 1})


def test_unknown_facets_are_kept_without_their_bookkeeping() -> None:
    table = events.dataset(*TABLE, mine={"_producer": "x", "_schemaURL": "y", "level": [1, {"deep": None}]})
    assert io_of(events.plain("COMPLETE", outputs=[table])).facets == {"mine": {"level": [1, {"deep": None}]}}


def test_kept_facets_have_a_bound() -> None:
    table = events.dataset(*TABLE, big={"text": "x" * FACET_BYTES}, small={"a": 1})
    decoded = events.send(events.plain("COMPLETE", outputs=[table]))
    assert decoded.facts[0].run is not None
    assert "big" not in decoded.facts[0].run.datasets[0].facets
    assert decoded.skipped


def test_many_datasets_are_cut_and_said_to_be() -> None:
    tables = [events.dataset("s3://lake", f"part-{n}") for n in range(MAX_DATASETS + 5)]
    decoded = events.send(events.plain("COMPLETE", inputs=tables))
    assert decoded.facts[0].run is not None
    assert len(decoded.facts[0].run.datasets) == MAX_DATASETS
    assert decoded.skipped == (f"inputs[] beyond {MAX_DATASETS}",)


def test_a_dataset_says_what_it_is() -> None:
    table = events.dataset(
        *TABLE,
        schema={"fields": [{"name": "id", "type": "int"}, {"name": "note"}, {"type": "nameless"}]},
        ownership={"owners": [{"name": "team:data", "type": "OWNER"}]},
        documentation={"description": "clean orders"},
        tags={"tags": [{"key": "pii", "value": "true"}, {"key": "secret-ish", "value": "x", "field": "note"}]},
    )
    (patch,) = events.fact_of(events.plain("COMPLETE", outputs=[table])).datasets
    assert patch.ref == DatasetRef(*TABLE)
    assert patch.fields == (("id", "int"), ("note", ""))
    assert (patch.owner, patch.description, patch.tags) == ("team:data", "clean orders", {"pii": "true"})
    assert patch.updated_at is None, "the end of the run says when it was written"


def test_a_dataset_without_a_name_costs_only_itself() -> None:
    decoded = events.send(events.plain("COMPLETE", outputs=[{"namespace": "s3://lake"}, events.dataset(*TABLE)]))
    assert decoded.facts[0].run is not None
    assert [io.ref for io in decoded.facts[0].run.datasets] == [DatasetRef(*TABLE)]
    assert decoded.skipped == ("outputs[].name",)


# -- Airflow's assets --------------------------------------------------------------------------------------------------


def outlets(*assets: str, outputs: Any = ()) -> Any:
    return events.airflow_task("COMPLETE", task_changes={"outlets": f"[{', '.join(assets)}]"}, outputs=list(outputs))


ASSET = "{'uri': 'postgres://db.example.com:5432/shop/public/orders', 'extra': {}, 'type': 'asset'}"
EVENT = (
    "{'uri': 'postgres://db.example.com:5432/shop/public/orders', "
    "'extra': {'row_count': 1234, 'bytes': 99000, 'partition': '2026-03-02'}, 'type': 'asset_event'}"
)


@pytest.mark.parametrize("outputs", [[], [events.dataset(*TABLE)]], ids=["dropped by the provider", "named by it"])
def test_row_counts_of_an_asset_event_reach_its_dataset(outputs: Any) -> None:
    io = io_of(outlets(ASSET, EVENT, outputs=outputs))
    assert io.ref == DatasetRef(*TABLE)
    assert (io.row_count, io.size_bytes, io.partition, io.direction) == (1234, 99000, "2026-03-02", "out")


def test_a_checksum_and_a_partition_stand_beside_the_counts() -> None:
    """The facet is open: `checksum` and `partition` are not of the standard. A number is taken as its text."""
    table = events.dataset(*TABLE, outputStatistics={"rowCount": 7, "checksum": 90210, "partition": "2026-03-02"})
    io = io_of(outlets(ASSET, outputs=[table]))
    assert (io.row_count, io.checksum, io.partition) == (7, "90210", "2026-03-02")
    told = EVENT.replace("'bytes': 99000", "'checksum': 'ab12'")
    assert io_of(outlets(ASSET, told)).checksum == "ab12"
    odd = events.dataset(*TABLE, outputStatistics={"rowCount": 7, "checksum": True})
    assert (io_of(outlets(ASSET, outputs=[odd])).row_count, io_of(outlets(ASSET, outputs=[odd])).checksum) == (7, None)


def test_the_standards_own_count_wins_over_the_extra() -> None:
    table = events.dataset(*TABLE, outputStatistics={"rowCount": 7})
    assert io_of(outlets(EVENT, outputs=[table])).row_count == 7


@pytest.mark.parametrize(
    ("uri", "ref"),
    [
        ("orders", DatasetRef("prod-airflow", "orders")),
        ("s3://lake/raw/orders.parquet", DatasetRef("s3://lake", "raw/orders.parquet")),
        ("file:///srv/raw/orders.csv", DatasetRef("file", "/srv/raw/orders.csv")),
        ("mysql://db/shop/orders", DatasetRef("mysql://db", "shop.orders")),
        ("x-internal://", DatasetRef("prod-airflow", "x-internal://")),
    ],
)
def test_an_asset_is_a_dataset_by_the_standards_names(uri: str, ref: DatasetRef) -> None:
    assert io_of(outlets(f"{{'uri': '{uri}', 'extra': {{}}, 'type': 'asset'}}")).ref == ref


@pytest.mark.parametrize("text", ["[", "nonsense", "{'uri': 1}", "[{'uri': ''}]", "[1, None]", "(" * 5000, "-" * 5000])
def test_outlets_that_are_no_assets_cost_nothing(text: str) -> None:
    run = events.run_of(events.airflow_task("COMPLETE", task_changes={"outlets": text}))
    assert run.datasets == ()
