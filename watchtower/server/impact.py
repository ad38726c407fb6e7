"""What surrounds an incident: what is wrong before it on the way of its data, and who waits for what comes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rules.awaited import Cause, first_causes
from rules.updates import cadence_of
from watchtower.model.alert import Alert
from watchtower.model.incident import is_open
from watchtower.model.lineage import Fed
from watchtower.model.rule import dataset_labels
from watchtower.model.run import RunState
from watchtower.server.api.datasets import seen_by
from watchtower.server.endpoints import Call
from watchtower.store import datasets, jobs, runs
from watchtower.store.database import Connection
from watchtower.store.reading import lineage

_LOOKED_AT = 3  # subjects of an incident
_RUNS = 30  # of a pipeline, of which the newest that ended well is looked for
_DUE = 12  # datasets of which it is said when they are expected
_UPDATES = 60


@dataclass(frozen=True, slots=True)
class Hit:
    """A dataset to which less comes than should. owner: None where nobody is known; next_at: when new data is usually
    there, None where that is not known."""

    fed: Fed
    owner: str | None
    next_at: datetime | None


def hit_by(call: Call, connection: Connection, alerts: Iterable[Alert]) -> list[Hit]:
    """All that comes of the pipelines that alerts are about, the nearest first."""
    about = sorted({alert.subject.removeprefix("job:") for alert in alerts if alert.subject.startswith("job:")})
    found = lineage.downstream(connection, about)
    return [
        Hit(
            each,
            call.services.owner_of(dataset_labels(each.dataset)) or each.dataset.owner,
            _next_at(connection, each.dataset.id) if place < _DUE else None,
        )
        for place, each in enumerate(found)
    ]


def _next_at(connection: Connection, dataset_id: str) -> datetime | None:
    cadence = cadence_of(datasets.updates_of(connection, dataset_id, _UPDATES))
    return None if isinstance(cadence, str) else cadence.next_at


def held_up_by(call: Call, connection: Connection, alerts: Sequence[Alert]) -> list[Cause]:
    """What is wrong first on the way of the data, with none of the pipelines that alerts are about; once each."""
    subjects = list(dict.fromkeys(alert.subject for alert in alerts if is_open(alert)))[:_LOOKED_AT]
    found = {cause.job.id: cause for subject in subjects for cause in _before(call, connection, subject)}
    own = {alert.subject.removeprefix("job:") for alert in alerts}
    return sorted(
        (cause for job_id, cause in found.items() if job_id not in own),
        key=lambda cause: (cause.since, cause.job.id),
    )


def _before(call: Call, connection: Connection, subject: str) -> Sequence[Cause]:
    kind, _, ident = subject.partition(":")
    if kind == "dataset":
        known = datasets.by_id(connection, [ident]).get(ident)
        read, since = ([ident], known.updated_at) if known else ([], None)
    elif kind == "job" and (job := jobs.by_id(connection, [ident]).get(ident)):
        read = sorted(lineage.read_by(connection, job.ref.pipeline_ref))
        since = _last_well(connection, job.ref.pipeline_ref.id)
    else:
        return ()
    team = call.principal.team
    return first_causes([seen_by(team, stage) for stage in lineage.upstream(connection, read)], since)


def _last_well(connection: Connection, job_id: str) -> datetime | None:
    """When its newest run that ended well began: what failed since then may be missing from what it reads."""
    newest = runs.newest(connection, [job_id], _RUNS)[job_id]
    return next((run.started_at or run.first_seen for run in newest if run.state is RunState.SUCCEEDED), None)
