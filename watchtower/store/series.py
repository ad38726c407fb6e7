"""Series in the store: which job a told name means, and samples folded into rows, in any order and any number of times.

A series is one upsert a batch, whatever the number of its samples. Of two values for the same moment the larger one
stays, and the words about a series (kind, unit) are those told with its newest sample: both are maxima, so no order of
arrival shows in the rows.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from watchtower.model.fact import Fact
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import JobRef
from watchtower.model.series import Sample, Series, SeriesKind, SeriesPatch, SeriesRef
from watchtower.store import dialect, driver
from watchtower.store.known import Known
from watchtower.store.schema.base import dump_json
from watchtower.store.schema.series import series
from watchtower.store.statements import Row, any_of, prepared

_stats = msgspec.json.Decoder(dict[str, float]).decode

UNKNOWN_NAMESPACE = "default"  # of a job that nobody has told of, where the sender names no namespace
AMBIGUOUS_JOB = "ambiguous_job"
_SHOWN = 5  # candidates that a message lists


def _openlineage_source(namespace: str) -> str:
    return f"openlineage:{namespace}"


@dataclass(frozen=True, slots=True)
class Naming:
    """What the configuration says of names. source_of: the source that stands for a namespace; only_namespace: the one
    that is meant where none is said, if there is exactly one."""

    source_of: Callable[[str], str] = field(default=_openlineage_source)
    only_namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """What could not be folded of a fact. place: of the fact among those that were given; samples: how many."""

    place: int
    reason: str
    message: str
    samples: int


@dataclass(slots=True)
class Told:
    """What came of a batch. names: of the series that were touched, by id; said: may be remembered after the commit."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    said: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])
    unfit: list[Unfit] = field(default_factory=list[Unfit])

    def due(self, named: Collection[str] | None, known: Known) -> list[str]:
        """Ids to look at: of the series that rules name (None: any), and of those that are new here, so that their
        owner is written down."""
        return [
            ident
            for ident, name in self.names.items()
            if named is None or name in named or known.get(("series", ident)) is None
        ]


_Words = tuple[int, str, bool, str]  # last sample, kind, is_delta, source: the largest one speaks for the series
_SampleRow = tuple[float, int | None, str | None, str | None]  # value, start, run, stats


@dataclass(slots=True)
class _Folding:
    """One series within a batch. unit: with the moment it was told for."""

    ref: SeriesRef
    words: _Words
    first_seen: int
    unit: tuple[int, str] | None = None
    samples: dict[int, tuple[_SampleRow, bool]] = field(default_factory=dict[int, Any])

    def fold(self, patch: SeriesPatch, *, historical: bool) -> None:
        moments = [to_micros(sample.at) for sample in patch.samples]
        last = max(moments)
        self.first_seen = min(self.first_seen, *moments)
        self.words = max(self.words, _words(patch, last))
        if patch.unit:
            self.unit = max(self.unit or (last, patch.unit), (last, patch.unit))
        for moment, sample in zip(moments, patch.samples, strict=True):
            row, is_history = _sample_row(sample), historical or sample.historical
            before = self.samples.get(moment)
            if before is not None:
                row, is_history = max(row, before[0], key=_rank), is_history and before[1]
            self.samples[moment] = (row, is_history)


def _words(patch: SeriesPatch, last: int) -> _Words:
    return last, patch.kind.value, patch.is_delta, patch.source


def _sample_row(sample: Sample) -> _SampleRow:
    start = None if sample.start is None else to_micros(sample.start)
    stats = None if sample.stats is None else dump_json(dict(sample.stats))
    return float(sample.value) + 0.0, start, sample.run, stats  # + 0.0: there is no negative zero


def _rank(row: _SampleRow) -> tuple[float, int, str, str]:
    """The same order as the statement's."""
    value, start, run, stats = row
    return value, start or 0, run or "", stats or ""


def fold(connection: Connection, facts: Sequence[Fact], naming: Naming) -> Told:
    """Fold the series of facts into rows; facts without any cost nothing."""
    told = Told()
    placed = [(place, fact) for place, fact in enumerate(facts) if fact.series]
    if not placed:
        return told
    jobs = _Jobs(connection, (patch.ref.job for _, fact in placed for patch in fact.series), naming)
    folding: dict[str, _Folding] = {}
    for place, fact in placed:
        for patch in fact.series:
            job = jobs.meant(patch.ref.job) if patch.ref.job else None
            if isinstance(job, str):
                told.unfit.append(Unfit(place, AMBIGUOUS_JOB, job, len(patch.samples)))
                continue
            ref = SeriesRef(patch.ref.name, job, patch.ref.labels)
            ident = ref.id
            if ident not in folding:
                first = to_micros(patch.samples[0].at)
                folding[ident] = _Folding(ref, _words(patch, first), first)
            folding[ident].fold(patch, historical=fact.historical)
    _write(connection, folding)
    told.names = {ident: one.ref.name for ident, one in folding.items()}
    told.said = {("series", ident): True for ident in folding}
    return told


# -- which job is meant -------------------------------------------------------------------------------------------

_CANDIDATES = "SELECT DISTINCT pipeline, source, namespace FROM jobs WHERE pipeline {among}"


class _Jobs:
    """The jobs that the store knows by the names that were told. A job that nobody has told of gets no row here: it
    would be watched as one that never runs."""

    def __init__(self, connection: Connection, told: Iterable[JobRef | None], naming: Naming) -> None:
        self._naming = naming
        names = {ref.pipeline for ref in told if ref is not None}
        self._known: dict[str, list[tuple[str, str]]] = {}
        for pipeline, source, namespace in dialect.rows_among(connection, _CANDIDATES, names):
            self._known.setdefault(pipeline, []).append((namespace, source))

    def meant(self, told: JobRef) -> JobRef | str:
        """The job, or why it cannot be said which one is meant."""
        candidates = sorted(
            (namespace, source)
            for namespace, source in self._known.get(told.pipeline, ())
            if told.namespace in ("", namespace) and told.source in ("", source)
        )
        namespaces = {namespace for namespace, _ in candidates}
        if len(namespaces) > 1:
            only = self._naming.only_namespace
            if only not in namespaces:
                return _ambiguous(told, candidates)
            candidates = [each for each in candidates if each[0] == only]
        if not candidates:
            return self._unheard_of(told)
        namespace = candidates[0][0]
        sources = [source for _, source in candidates]
        configured = self._naming.source_of(namespace)
        return JobRef(configured if configured in sources else sources[0], namespace, told.pipeline, told.task)

    def _unheard_of(self, told: JobRef) -> JobRef:
        namespace = told.namespace or self._naming.only_namespace or UNKNOWN_NAMESPACE
        return JobRef(told.source or self._naming.source_of(namespace), namespace, told.pipeline, told.task)


def _ambiguous(told: JobRef, candidates: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{namespace} (source {source})" for namespace, source in candidates[:_SHOWN])
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    return f"job {told.pipeline!r} is known in several namespaces: {shown}{more}; name the one that is meant"


# -- writing ------------------------------------------------------------------------------------------------------

# Texts are compared byte by byte on both engines, as Python does.
_BYTEWISE = {"sqlite": "", "postgresql": ' COLLATE "C"'}
_NEWER = (
    "(excluded.last_at, excluded.kind{c}, excluded.is_delta, excluded.source{c}) > "
    "(series.last_at, series.kind{c}, series.is_delta, series.source{c})"
)
_NEWER_UNIT = (
    "excluded.unit_at IS NOT NULL AND (series.unit_at IS NULL OR "
    "(excluded.unit_at, excluded.unit{c}) > (series.unit_at, series.unit{c}))"
)
_SERIES = (
    "INSERT INTO series (id, name, job_id, job_source, namespace, pipeline, task, labels, "  # noqa: S608 - texts of ours
    "source, kind, is_delta, unit, unit_at, first_seen, last_at) VALUES {values} ON CONFLICT (id) DO UPDATE SET "
    f"kind = CASE WHEN {_NEWER} THEN excluded.kind ELSE series.kind END, "
    f"is_delta = CASE WHEN {_NEWER} THEN excluded.is_delta ELSE series.is_delta END, "
    f"source = CASE WHEN {_NEWER} THEN excluded.source ELSE series.source END, "
    f"unit = CASE WHEN {_NEWER_UNIT} THEN excluded.unit ELSE series.unit END, "
    f"unit_at = CASE WHEN {_NEWER_UNIT} THEN excluded.unit_at ELSE series.unit_at END, "
    "first_seen = CASE WHEN excluded.first_seen < series.first_seen THEN excluded.first_seen "
    "ELSE series.first_seen END, "
    "last_at = CASE WHEN excluded.last_at > series.last_at THEN excluded.last_at ELSE series.last_at END"
)
_LARGER = (
    "(excluded.value, coalesce(excluded.start, 0), coalesce(excluded.run, ''){c}, coalesce(excluded.stats, ''){c}) > "
    "(samples.value, coalesce(samples.start, 0), coalesce(samples.run, ''){c}, coalesce(samples.stats, ''){c})"
)
_SAMPLES = (
    "INSERT INTO samples (series_id, at, value, start, run, stats, historical) "  # noqa: S608 - texts of ours
    "VALUES {values} "
    "ON CONFLICT (series_id, at) DO UPDATE SET "
    f"value = CASE WHEN {_LARGER} THEN excluded.value ELSE samples.value END, "
    f"start = CASE WHEN {_LARGER} THEN excluded.start ELSE samples.start END, "
    f"run = CASE WHEN {_LARGER} THEN excluded.run ELSE samples.run END, "
    f"stats = CASE WHEN {_LARGER} THEN excluded.stats ELSE samples.stats END, "
    "historical = samples.historical AND excluded.historical"
)


def _sql(text: str, engine: str) -> str:
    return text.replace("{c}", _BYTEWISE[engine])


_STATEMENTS = {engine: (_sql(_SERIES, engine), _sql(_SAMPLES, engine)) for engine in _BYTEWISE}


def _write(connection: Connection, folding: Mapping[str, _Folding]) -> None:
    """Sorted: two replicas that write the same rows lock them in the same order."""
    insert_series, insert_samples = _STATEMENTS[connection.dialect.name]
    ordered = sorted(folding.items())
    driver.insert(connection, insert_series, [_series_row(ident, one) for ident, one in ordered])
    rows = [
        (ident, moment, value, start, run, stats, historical)
        for ident, one in ordered
        for moment, ((value, start, run, stats), historical) in sorted(one.samples.items())
    ]
    driver.insert(connection, insert_samples, rows)


def _series_row(ident: str, one: _Folding) -> tuple[Any, ...]:
    job = one.ref.job
    last_at, kind, is_delta, source = one.words
    place = (job.id, job.source, job.namespace, job.pipeline, job.task) if job else (None,) * 5
    unit_at, unit = one.unit or (None, None)
    labels = dump_json(dict(one.ref.labels))
    return (ident, one.ref.name, *place, labels, source, kind, is_delta, unit, unit_at, one.first_seen, last_at)


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    """Set the owning team by series id, as the configuration in force says."""
    for ident, team in sorted(teams.items()):
        connection.execute(update(series).where(series.c.id == ident).values(team=team))


# -- reading ------------------------------------------------------------------------------------------------------

_BY_ID = prepared(select(series).where(series.c.id.in_(any_of("ids"))))
_NEWEST = (
    "SELECT at, value, start, run, stats, historical FROM samples WHERE series_id = {mark} "
    "ORDER BY at DESC LIMIT {mark}"
)


def to_series(row: Row) -> Series:
    job = JobRef(row.job_source, row.namespace, row.pipeline, row.task) if row.job_id else None
    return Series(
        id=row.id,
        ref=SeriesRef(row.name, job, row.labels),
        source=row.source,
        kind=SeriesKind(row.kind),
        unit=row.unit,
        is_delta=row.is_delta,
        owner=None,
        team=row.team,
        first_seen=row.first_seen,
        last_at=row.last_at,
    )


def by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for some in dialect.chunks(ids):
        found.update((row.id, to_series(row)) for row in _BY_ID.all(connection, {"ids": some}))
    return found


def newest(connection: Connection, ident: str, limit: int) -> tuple[Sample, ...]:
    """The newest samples of a series, newest first: one seek in its index, however many there are."""
    rows = driver.rows(connection, _NEWEST.format(mark=dialect.mark(connection)), (ident, limit))
    return tuple(map(of_row, rows))


def of_row(row: Sequence[Any]) -> Sample:
    """A row of samples (at, value, start, run, stats, historical) as the driver gives it."""
    at, value, start, run, stats, historical = row
    return Sample(
        at=from_micros(at),
        value=float(value),
        run=run,
        stats=None if stats is None else _stats(stats),
        start=None if start is None else from_micros(start),
        historical=bool(historical),
    )
