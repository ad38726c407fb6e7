"""Series and their samples. What is told comes in on the ingest route of the same path."""

from datetime import datetime

import msgspec

from watchtower.model.series import Sample, Series
from watchtower.server.endpoints import Call, Limit, ListQuery, Moment, cut_page, not_found
from watchtower.store.reading import series as reading
from watchtower.store.reading.paging import Window
from watchtower.store.reading.series import SeriesFilter


class SeriesItem(msgspec.Struct, frozen=True):
    """job_id and what follows it: null for a series of no job. kind: gauge, sum or histogram; delta: increments.
    derived: worked out from the runs of its job."""

    id: str
    name: str
    job_id: str | None
    namespace: str | None
    pipeline: str | None
    task: str | None
    labels: dict[str, str]
    source: str
    kind: str
    unit: str | None
    delta: bool
    team: str | None
    first_seen: datetime | None
    last_at: datetime | None
    derived: bool


class SeriesList(msgspec.Struct, frozen=True):
    items: list[SeriesItem]
    next_cursor: str | None


class SampleItem(msgspec.Struct, frozen=True):
    """stats: of a histogram, whose value is its mean. run: as its sender calls it; our own id in a derived series.
    historical: it never pages."""

    at: datetime
    value: float
    run: str | None
    stats: dict[str, float] | None
    historical: bool


class SeriesDetail(SeriesItem, frozen=True):
    """samples: newest first; older ones by `to`, the moment of the last one here."""

    samples: list[SampleItem]


class SeriesQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """from and to: of the last sample. job: name of its pipeline."""

    name: str | None = None
    job: str | None = None
    job_id: str | None = None
    namespace: str | None = None
    task: str | None = None
    team: str | None = None


class SampleQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """limit: of samples; from (inclusive), to (exclusive): RFC 3339."""

    limit: Limit = 500
    from_: Moment | None = None
    to: Moment | None = None

    def __post_init__(self) -> None:
        """As that of a list."""
        ListQuery(limit=self.limit, from_=self.from_, to=self.to)


def list_series(call: Call) -> SeriesList:
    query = call.asked(SeriesQuery)
    wanted = SeriesFilter(query.name, query.job_id, query.namespace, query.job, query.task, query.team)
    page = call.read(lambda c: reading.list_series(c, wanted, call.window(query)))
    return SeriesList(*cut_page(page, series_item))


def get_series(call: Call) -> SeriesDetail:
    query, ident = call.asked(SampleQuery), call.path["id"]
    one = call.read(lambda c: reading.get_series(c, ident, call.principal.team))
    if one is None:
        raise not_found("series", ident)
    window = Window(query.limit, None, query.from_, query.to)
    samples = call.read(lambda c: reading.list_samples(c, one, window))
    return SeriesDetail(**msgspec.structs.asdict(series_item(one)), samples=[_sample_item(each) for each in samples])


def series_item(one: Series) -> SeriesItem:
    job = one.ref.job
    return SeriesItem(
        id=one.id,
        name=one.ref.name,
        job_id=job.id if job else None,
        namespace=job.namespace if job else None,
        pipeline=job.pipeline if job else None,
        task=job.task if job else None,
        labels=dict(one.ref.labels),
        source=one.source,
        kind=one.kind.value,
        unit=one.unit,
        delta=one.is_delta,
        team=one.team,
        first_seen=one.first_seen,
        last_at=one.last_at,
        derived=one.derived,
    )


def _sample_item(sample: Sample) -> SampleItem:
    stats = None if sample.stats is None else dict(sample.stats)
    return SampleItem(sample.at, sample.value, sample.run, stats, sample.historical)
