"""What an event says of datasets: which were read and written, how much, and what they are.

Statistics stand in `inputFacets`/`outputFacets` by the specification, but Airflow and dbt also put quality facets in
`facets`: both places are read. Airflow puts row counts nowhere in OpenLineage but in the `extra` of an asset event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import msgspec

from collectors.identity import identifier
from collectors.openlineage.literals import Asset
from collectors.openlineage.reading import decode_facet
from collectors.openlineage.texts import NAME_CHARS, cut, labels, owners, said
from collectors.openlineage.wire import (
    Assertion,
    Assertions,
    Dataset,
    Documentation,
    Lifecycle,
    Ownership,
    Schema,
    Statistics,
    Tags,
    Version,
)
from watchtower.model.origin import DATASET, Origin
from watchtower.model.run import DatasetIO, DatasetPatch, DatasetRef

MAX_DATASETS = 1_000
MAX_FIELDS = 2_000
FACET_BYTES = 16_384  # of kept facets, per dataset

READ_FACETS: Final[Mapping[str, type[Any]]] = {
    "schema": Schema,
    "ownership": Ownership,
    "documentation": Documentation,
    "tags": Tags,
    "outputStatistics": Statistics,
    "inputStatistics": Statistics,
    "dataQualityMetrics": Statistics,
    "dataQualityAssertions": Assertions,
    "lifecycleStateChange": Lifecycle,
    "version": Version,
}
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in set(READ_FACETS.values())
}
_NOT_KEPT = frozenset({"ownership", "documentation", "tags", "outputStatistics", "inputStatistics", "dataSource"})
_BOOKKEEPING = frozenset({"_producer", "_schemaURL"})
_NOT_WRITTEN = frozenset({"DROP", "RENAME"})

# Schemes whose third path part is a table: OpenLineage names those `database.schema.table`.
_TABLES = frozenset({"postgres", "postgresql", "mysql", "mssql", "oracle", "redshift", "trino", "snowflake"})

# What people call the counts in an asset event's `extra`.
ROW_KEYS = ("row_count", "rowCount", "rows", "num_rows", "dagster/row_count")
SIZE_KEYS = ("size_bytes", "bytes", "size")
FILE_KEYS = ("file_count", "fileCount", "files")
CHECKSUM_KEY = "checksum"

T = TypeVar("T")


@dataclass(slots=True)
class Told:
    """What one event says of datasets, gathered. checks: quality assertions, with the dataset's name."""

    ios: list[DatasetIO] = field(default_factory=list[DatasetIO])
    patches: list[DatasetPatch] = field(default_factory=list[DatasetPatch])
    checks: list[tuple[str, Assertion]] = field(default_factory=list[tuple[str, Assertion]])


def read_datasets(datasets: Iterable[Dataset] | None, direction: str, told: Told, skipped: list[str]) -> None:
    """Add inputs ("in") or outputs ("out") to told."""
    where = "inputs" if direction == "in" else "outputs"
    for dataset in datasets or ():
        ref = _ref(dataset)
        if ref is None:
            skipped.append(f"{where}[].name")
        elif len(told.ios) >= MAX_DATASETS:
            skipped.append(f"{where}[] beyond {MAX_DATASETS}")
            return
        else:
            facets = _facets(dataset)
            told.ios.append(_io(ref, direction, facets, told, skipped) if facets else DatasetIO(ref, direction))
            if facets and (patch := _patch(ref, facets, skipped)):
                told.patches.append(patch)


def dataset_event(dataset: Dataset, event_time: datetime, skipped: list[str]) -> DatasetPatch | None:
    """A DatasetEvent as a patch. It counts as written at event_time only if it says that its content changed."""
    ref, facets = _ref(dataset), _facets(dataset)
    if ref is None:
        return None
    patch = _patch(ref, facets, skipped) or DatasetPatch(ref)
    if not _says_written(facets, skipped):
        return patch
    statistics = _read(facets, "outputStatistics", Statistics, skipped) or Statistics()
    return msgspec.structs.replace(
        patch,
        updated_at=event_time,
        row_count=statistics.row_count,
        size_bytes=_first(statistics.size, statistics.size_bytes),
        file_count=statistics.file_count,
        checksum=_text(statistics.checksum),
        partition=_text(statistics.partition),
    )


def read_assets(assets: Iterable[Asset], direction: str, namespace: str, told: Told) -> None:
    """Join Airflow's inlets or outlets to told: counts of an asset event go to the dataset of the same address; an
    asset that the provider could not name (no provider for its scheme, or no scheme at all) becomes a dataset."""
    for asset in assets:
        index = next(
            (i for i, io in enumerate(told.ios) if io.direction == direction and _is_same(asset, io.ref)), None
        )
        if index is None and len(told.ios) < MAX_DATASETS:
            told.ios.append(_with_extra(DatasetIO(asset_ref(asset.uri, namespace), direction), asset))
        elif index is not None and asset.extra:
            told.ios[index] = _with_extra(told.ios[index], asset)


def _ref(dataset: Dataset) -> DatasetRef | None:
    if not dataset.namespace or not dataset.name:
        return None
    return DatasetRef(identifier(dataset.namespace), identifier(dataset.name))


def _facets(dataset: Dataset) -> Mapping[str, msgspec.Raw]:
    """Both places as one; the place made for it wins."""
    inner = dataset.output_facets or dataset.input_facets
    if not inner:
        return dataset.facets or {}
    return {**dataset.facets, **inner} if dataset.facets else inner


def _read(facets: Mapping[str, msgspec.Raw], name: str, kind: type[T], skipped: list[str]) -> T | None:
    raw = facets.get(name)
    if raw is None:
        return None
    return decode_facet(_DECODERS[kind], kind, raw, f"dataset.{name}", skipped)


def _io(
    ref: DatasetRef, direction: str, facets: Mapping[str, msgspec.Raw], told: Told, skipped: list[str]
) -> DatasetIO:
    name = "outputStatistics" if direction == "out" else "inputStatistics"
    statistics = _read(facets, name, Statistics, skipped) or Statistics()
    quality = _read(facets, "dataQualityMetrics", Statistics, skipped) or Statistics()
    checks = _read(facets, "dataQualityAssertions", Assertions, skipped)
    if checks:
        told.checks.extend((ref.name, check) for check in checks.assertions or ())
    return DatasetIO(
        ref,
        direction,
        row_count=_first(statistics.row_count, quality.row_count),
        size_bytes=_first(statistics.size, statistics.size_bytes, quality.size_bytes, quality.size),
        file_count=_first(statistics.file_count, quality.file_count),
        checksum=_text(statistics.checksum) or _text(quality.checksum),
        partition=_text(statistics.partition),
        facets=_kept(facets, skipped),
    )


def _kept(facets: Mapping[str, msgspec.Raw], skipped: list[str]) -> dict[str, Any]:
    """The facets as they were sent, without producer and schema URL, as long as they are small together."""
    kept: dict[str, Any] = {}
    room = FACET_BYTES
    for name, raw in facets.items():
        if name in _NOT_KEPT:
            continue
        room -= len(memoryview(raw))
        if room < 0:
            skipped.append("dataset.facets beyond 16 KiB")
            break
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            skipped.append("dataset.facets[]")
            continue
        kept[name] = _without_bookkeeping(value)
    return kept


def _without_bookkeeping(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    return {key: item for key, item in fields.items() if key not in _BOOKKEEPING}


def _patch(ref: DatasetRef, facets: Mapping[str, msgspec.Raw], skipped: list[str]) -> DatasetPatch | None:
    """What facets say of the dataset itself; None if nothing."""
    schema = _read(facets, "schema", Schema, skipped)
    documentation = _read(facets, "documentation", Documentation, skipped)
    patch = DatasetPatch(
        ref,
        owner=owners(_read(facets, "ownership", Ownership, skipped)),
        tags=_dataset_tags(_read(facets, "tags", Tags, skipped)),
        description=said(documentation.description) if documentation else None,
        fields=_columns(schema),
    )
    return patch if patch != DatasetPatch(ref) else None


def _dataset_tags(facet: Tags | None) -> dict[str, str] | None:
    """Tags of the dataset; those of single columns stay in the kept body."""
    return labels(Tags([tag for tag in facet.tags or () if not tag.field])) if facet else None


def _columns(schema: Schema | None) -> tuple[tuple[str, str], ...] | None:
    if schema is None or not schema.fields:
        return None
    return tuple(
        (cut(column.name, NAME_CHARS), cut(column.type or "", NAME_CHARS))
        for column in schema.fields[:MAX_FIELDS]
        if column.name
    )


def _says_written(facets: Mapping[str, msgspec.Raw], skipped: list[str]) -> bool:
    change = _read(facets, "lifecycleStateChange", Lifecycle, skipped)
    if change and change.lifecycle_state_change:
        return change.lifecycle_state_change.upper() not in _NOT_WRITTEN
    version = _read(facets, "version", Version, skipped)
    return bool(version and version.dataset_version) or "outputStatistics" in facets


# -- Airflow's assets ----------------------------------------------------------------------------------------------


def _is_same(asset: Asset, ref: DatasetRef) -> bool:
    """Whether the provider made ref of asset.uri: `scheme://host/a/b/c` → (`scheme://host`, `a.b.c` or `a/b/c`)."""
    if not asset.uri.endswith(ref.name) and "." not in ref.name:
        return False
    base = ref.namespace.rstrip("/")
    forms = (f"{base}/{ref.name}", f"{base}/{ref.name.replace('.', '/')}", f"{base}://{ref.name}", ref.name)
    return asset.uri in forms


def asset_ref(uri: str, namespace: str) -> DatasetRef:
    """A dataset's name after OpenLineage's naming (spec/Naming.md). An asset that is a plain name belongs to its
    Airflow: two of them may use the same name."""
    scheme, found, rest = uri.partition("://")
    if not found or not rest.strip("/"):
        return DatasetRef(identifier(namespace), identifier(uri))
    if scheme == "file":
        return DatasetRef("file", identifier(rest))
    authority, _, path = rest.partition("/")
    name = path.strip("/")
    if scheme in _TABLES:
        name = name.replace("/", ".")
    return DatasetRef(identifier(f"{scheme}://{authority}"), identifier(name or "/"))


def asset_origin(uri: str, namespace: str, job: str | None, run: str | None, at: datetime | None = None) -> Origin:
    """job: `dag.task`, of the same Airflow; run: its DAG run."""
    ref = asset_ref(uri, namespace)
    writer, its_run = identifier(job) if job else None, identifier(run) if run else None
    return Origin(DATASET, ref.name, ref.namespace, writer, its_run, at)


def _with_extra(io: DatasetIO, asset: Asset) -> DatasetIO:
    """io with the counts that the task wrote into the asset event's extra. The standard's own facets win."""
    if not asset.extra:
        return io
    partition = asset.extra.get("partition", asset.extra.get("partition_key"))
    return msgspec.structs.replace(
        io,
        row_count=_first(io.row_count, count_of(asset.extra, ROW_KEYS)),
        size_bytes=_first(io.size_bytes, count_of(asset.extra, SIZE_KEYS)),
        file_count=_first(io.file_count, count_of(asset.extra, FILE_KEYS)),
        checksum=io.checksum or checksum_of(asset.extra),
        partition=cut(partition, NAME_CHARS) if isinstance(partition, str) and partition else io.partition,
    )


def count_of(extra: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    for key in keys:
        value = extra.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
            return value
    return None


def checksum_of(extra: Mapping[str, Any]) -> str | None:
    return _text(extra.get(CHECKSUM_KEY))


def _text(value: Any) -> str | None:
    """A text or a number; anything else says nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return said(str(value).strip(), NAME_CHARS)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
