"""What a probe saw of one dataset at one moment, as a record, and the fact that it is."""

import math
from collections.abc import Mapping
from datetime import datetime

import msgspec

from collectors.polled import CLOCK_AHEAD, polled_fact
from watchtower.model.fact import Fact
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import DatasetPatch, DatasetRef
from watchtower.model.series import Sample, SeriesPatch, SeriesRef
from watchtower.ports import Decoded, Received, Reject


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """seen, updated_at: microseconds since 1970. fields: (name, type), in order; numbers: by their series' names."""

    namespace: str
    name: str
    seen: int
    updated_at: int | None = None
    rows: int | None = None
    size: int | None = None
    files: int | None = None
    checksum: str | None = None
    partition: str | None = None
    fields: tuple[tuple[str, str], ...] | None = None
    numbers: dict[str, float] | None = None

    @property
    def ref(self) -> DatasetRef:
        return DatasetRef(self.namespace, self.name)

    def record(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Of data that says it was written in the future: it would look fresh for as long."""
    return moment > now + CLOCK_AHEAD


def decode(record: bytes, received: Received, *, source: str, kind: str) -> Decoded:
    try:
        seen = msgspec.json.decode(record, type=Observation)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Decoded((), (Reject("unreadable", f"not what a probe saw: {error}", record),))
    return Decoded((_fact(seen, record, received, source, kind),))


def _fact(seen: Observation, record: bytes, received: Received, source: str, kind: str) -> Fact:
    at = from_micros(seen.seen)
    patch = DatasetPatch(
        seen.ref,
        fields=seen.fields,
        updated_at=None if seen.updated_at is None else from_micros(seen.updated_at),
        measured=True,
        row_count=seen.rows,
        size_bytes=seen.size,
        file_count=seen.files,
        checksum=seen.checksum,
        partition=seen.partition,
    )
    told = series_of(seen.numbers or {}, at, source, {"table": seen.name[:256]})
    return polled_fact(record, at, received, source=source, kind=kind, stands=True, datasets=(patch,), series=told)


def series_of(
    numbers: Mapping[str, float], at: datetime, source: str, labels: Mapping[str, str]
) -> tuple[SeriesPatch, ...]:
    """One sample of each."""
    return tuple(
        SeriesPatch(SeriesRef(name, None, labels), source, (Sample(at, value),))
        for name, value in sorted(numbers.items())
        if math.isfinite(value)
    )


def micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
