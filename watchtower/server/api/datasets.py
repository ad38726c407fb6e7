"""Datasets: what is known of each, and for whoever waits for one, when it comes and what holds it up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from rules.awaited import Awaited, Cause, DataState, awaited, sentences
from rules.engine import Explained
from watchtower.model.alert import Alert
from watchtower.model.lineage import Stage
from watchtower.model.rule import SubjectKey
from watchtower.model.run import Dataset, DatasetUpdate, JobRef
from watchtower.server.api.observed import JobName
from watchtower.server.endpoints import Call, ListQuery, cut_page, not_found
from watchtower.store import datasets
from watchtower.store.database import Connection
from watchtower.store.reading import lineage, observed
from watchtower.store.reading.observed import DatasetFilter

_UPDATES = 200  # of which a cadence is learned, as rules do
_SHOWN = 20  # of them


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is known of one dataset. stages: what it comes from, the nearest first; of what belongs to another team
    than the reader's only names and states. timezone: of whoever writes it, None where it is not known."""

    dataset: Dataset
    updates: tuple[DatasetUpdate, ...]
    stages: tuple[Stage, ...]
    readers: tuple[JobRef, ...]
    explained: Explained | None
    awaited: Awaited
    timezone: str | None

    @property
    def said(self) -> tuple[str, ...]:
        return sentences(self.awaited, self.dataset.ref.name, self.timezone)


def standing(call: Call, dataset_id: str) -> Standing:
    """Raises Problem (404) for what is not there or belongs to another team."""
    dataset = call.read(lambda c: observed.get_dataset(c, dataset_id, call.principal.team))
    if dataset is None:
        raise not_found("dataset", dataset_id)
    explained = next(iter(call.services.explain([SubjectKey("dataset", dataset_id)])), None)
    return call.read(lambda c: _standing(call, c, dataset, explained))


def _standing(call: Call, connection: Connection, dataset: Dataset, explained: Explained | None) -> Standing:
    updates = datasets.updates_of(connection, dataset.id, _UPDATES)
    stages = tuple(seen_by(call.principal.team, stage) for stage in lineage.upstream(connection, [dataset.id]))
    labels = explained.judgement.labels if explained else dict[str, str]()
    zones = (stage.job.timezone for stage in stages if stage.job.timezone)
    return Standing(
        dataset=replace(dataset, owner=labels.get("owner") or dataset.owner, team=labels.get("team") or dataset.team),
        updates=updates,
        stages=stages,
        readers=lineage.readers_of(connection, dataset.id),
        explained=explained,
        awaited=awaited(updates, stages, too_old_at(explained), call.now),
        timezone=next(zones, None),
    )


def state_of(connection: Connection, dataset: Dataset, alerts: Sequence[Alert], now: datetime) -> DataState:
    """Without what holds it up. alerts: what is open of it."""
    updates = datasets.updates_of(connection, dataset.id, _UPDATES)
    too_old = [alert.active_since for alert in alerts if alert.labels.get("kind") == "freshness"]
    return awaited(updates, (), too_old, now).state


def too_old_at(explained: Explained | None) -> Sequence[datetime]:
    """When its rules of freshness say, or said, that it is too old."""
    found: list[datetime] = []
    for verdict in explained.judgement.verdicts if explained else ():
        if verdict.rule.kind == "freshness":
            broken = [violation.since for violation in verdict.evaluation.violations]
            found += broken or ([verdict.evaluation.next_at] if verdict.evaluation.next_at else [])
    return found


def seen_by(team: str | None, stage: Stage) -> Stage:
    if team in (None, stage.job.team):
        return stage
    runs = tuple(msgspec.structs.replace(run, error=None) for run in stage.runs)
    return replace(stage, runs=runs, alerts=())


# -- what is answered ---------------------------------------------------------------------------------------------


class FieldItem(msgspec.Struct, frozen=True):
    name: str
    type: str


class DatasetItem(msgspec.Struct, frozen=True):
    id: str
    namespace: str
    name: str
    owner: str | None
    team: str | None
    tags: dict[str, str]
    description: str | None
    fields: list[FieldItem] | None
    declared: bool
    first_seen: datetime | None
    updated_at: datetime | None


class DatasetList(msgspec.Struct, frozen=True):
    items: list[DatasetItem]
    next_cursor: str | None


class HeldUpItem(msgspec.Struct, frozen=True):
    """Something wrong on the way, behind which nothing is wrong."""

    job_id: str
    job: JobName
    since: datetime
    what: str


class StageItem(msgspec.Struct, frozen=True):
    """A pipeline that the data passes. steps: 1 for one that writes it. state: of its newest run."""

    job_id: str
    job: JobName
    steps: int
    state: str | None
    started_at: datetime | None
    ended_at: datetime | None


class UpdateItem(msgspec.Struct, frozen=True):
    """measured: at is the time of the newest data, as it tells itself. backfill: it brought no new data."""

    at: datetime
    run_id: str | None
    row_count: int | None
    size_bytes: int | None
    partition: str | None
    backfill: bool
    measured: bool


class DatasetDetail(DatasetItem, frozen=True):
    """said: how it stands, in sentences. state: fresh, due (its time has come), late or unknown. fresh_as_of: of the
    newest data; next_expected: when new data is usually there, or a rule wants it; why: how that is known, or why it is
    not; late_s: null while it is not late. held_up_by: what is wrong first on its way; expected_at: when it will
    probably come, where something runs; else usually_takes_s from the beginning of a run of waits_for. upstream: what
    it comes from, the nearest first; readers: who reads it. updates: the newest 20, newest first."""

    said: list[str]
    state: str
    fresh_as_of: datetime | None
    next_expected: datetime | None
    why: str
    late_s: float | None
    held_up_by: list[HeldUpItem]
    expected_at: datetime | None
    waits_for: str | None
    usually_takes_s: float | None
    upstream: list[StageItem]
    readers: list[JobName]
    updates: list[UpdateItem]


class DatasetQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """q: a part of the name, the namespace or the owner. from and to: of the last update."""

    q: str = ""
    namespace: str | None = None
    name: str | None = None
    owner: str | None = None
    team: str | None = None


def list_datasets(call: Call) -> DatasetList:
    query = call.asked(DatasetQuery)
    wanted = DatasetFilter(query.namespace, query.name, query.owner, query.team, query.q.strip())
    page = call.read(lambda c: observed.list_datasets(c, wanted, call.window(query)))
    return DatasetList(*cut_page(page, dataset_item))


def get_dataset(call: Call) -> DatasetDetail:
    found = standing(call, call.path["id"])
    how = found.awaited
    return DatasetDetail(
        **msgspec.structs.asdict(dataset_item(found.dataset)),
        said=list(found.said),
        state=how.state.value,
        fresh_as_of=how.since,
        next_expected=how.next_at,
        why=how.why,
        late_s=how.late_s,
        held_up_by=[held_up_item(each) for each in how.causes],
        expected_at=how.expected_at,
        waits_for=how.after or None,
        usually_takes_s=how.takes_s,
        upstream=[_stage(each) for each in found.stages],
        readers=[_name(ref) for ref in found.readers],
        updates=[_update(each) for each in found.updates[:_SHOWN]],
    )


def dataset_item(dataset: Dataset) -> DatasetItem:
    return DatasetItem(
        id=dataset.id,
        namespace=dataset.ref.namespace,
        name=dataset.ref.name,
        owner=dataset.owner,
        team=dataset.team,
        tags=dict(dataset.tags),
        description=dataset.description,
        fields=None if dataset.fields is None else [FieldItem(name, kind) for name, kind in dataset.fields],
        declared=dataset.declared,
        first_seen=dataset.first_seen,
        updated_at=dataset.updated_at,
    )


def held_up_item(cause: Cause) -> HeldUpItem:
    return HeldUpItem(cause.job.id, _name(cause.job.ref), cause.since, cause.what)


def _name(ref: JobRef) -> JobName:
    return JobName(ref.namespace, ref.name)


def _stage(stage: Stage) -> StageItem:
    newest = stage.runs[-1] if stage.runs else None
    return StageItem(
        job_id=stage.job.id,
        job=_name(stage.job.ref),
        steps=stage.steps,
        state=newest.state.value if newest else None,
        started_at=newest.started_at if newest else None,
        ended_at=newest.ended_at if newest else None,
    )


def _update(each: DatasetUpdate) -> UpdateItem:
    return UpdateItem(
        at=each.at,
        run_id=each.run_id,
        row_count=each.row_count,
        size_bytes=each.size_bytes,
        partition=each.partition,
        backfill=each.backfill,
        measured=each.measured,
    )
