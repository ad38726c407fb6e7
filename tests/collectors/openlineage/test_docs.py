"""The tables of docs/openlineage.md say what the code does."""

import re
from pathlib import Path
from typing import Any

import msgspec

from collectors.openlineage import OpenLineageConfig, RejectReason, datasets
from collectors.openlineage.reading import MAX_DEPTH
from collectors.openlineage.texts import MAX_LABELS, STACK_BYTES
from collectors.openlineage.wire import JobFacets, RunFacets

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "openlineage.md").read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of the table between `<!-- name -->` and `<!-- /name -->`, without its head."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE, re.DOTALL)
    assert found
    lines = found[1].strip().splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def wire_names(kind: type[Any]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_facets_that_are_read_are_listed() -> None:
    listed = {(name, where.strip()) for name, where, _ in rows("facets")}
    read = {(name, "run") for name in wire_names(RunFacets)} | {(name, "job") for name in wire_names(JobFacets)}
    read |= {(name, "dataset") for name in datasets.READ_FACETS}
    assert listed == read


def test_reasons_are_listed() -> None:
    assert [row[0] for row in rows("reasons")] == [reason.value for reason in RejectReason]


def test_config_is_listed() -> None:
    listed = {key: (default.strip("`"), meaning.strip()) for key, default, meaning in rows("config")}
    fields = OpenLineageConfig.model_fields
    assert listed == {
        name: (str(field.get_default(call_default_factory=True)), field.description) for name, field in fields.items()
    }


def test_limits_are_those_of_the_code() -> None:
    assert f"nesting deeper than {MAX_DEPTH}" in PAGE
    assert f"more than {MAX_LABELS} tags" in PAGE
    assert f"{STACK_BYTES // 1024} KiB are kept" in PAGE
    assert f"up to {datasets.FACET_BYTES // 1024} KiB" in PAGE


def test_names_of_counts_in_an_asset_event_are_those_of_the_code() -> None:
    for key in ("row_count", "rows", "num_rows"):
        assert key in datasets.ROW_KEYS
    for key in ("size_bytes", "bytes"):
        assert key in datasets.SIZE_KEYS
    assert "file_count" in datasets.FILE_KEYS
