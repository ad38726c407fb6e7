"""What changed before an incident: of the pipelines it is about, and of those that write the datasets it is about."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from watchtower.model.alert import Alert
from watchtower.model.change import Change
from watchtower.model.run import JobRef
from watchtower.store import changes, datasets, jobs, run_changes

WITHIN: Final = timedelta(days=1)
MOST: Final = 10
_MOST_JOBS: Final = 20  # that are looked at


def before_incident(connection: Connection, alerts: Sequence[Alert], moment: datetime) -> list[Change]:
    """In the day before moment, newest first, each once; possible causes and no proof."""
    ids = sorted({each.subject.partition(":")[2] for each in alerts if each.subject.startswith("dataset:")})
    known = datasets.by_id(connection, ids)
    written = datasets.writers_of(connection, list(known))
    about = {*_pipelines(alerts), *(job.ref.pipeline_ref.id for some in written.values() for job in some)}
    found: dict[str, Change] = {}
    for job in jobs.by_id(connection, sorted(about)[:_MOST_JOBS]).values():
        found |= {each.id: each for each in changes.before(connection, job, moment, WITHIN)}
    for dataset in known.values():
        told = run_changes.of_columns(dataset)
        found |= {each.id: each for each in told if moment - WITHIN <= each.at <= moment}
    return sorted(found.values(), key=lambda each: (each.at, each.id), reverse=True)[:MOST]


def _pipelines(alerts: Iterable[Alert]) -> Iterable[str]:
    for alert in alerts:
        named = [alert.labels.get(name, "") for name in ("source", "namespace", "pipeline")]
        if all(named):
            yield JobRef(*named).id
