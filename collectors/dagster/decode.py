"""Documents of Dagster's API → facts. Pure, and never raises for what they hold.

A document is what `collectors.dagster.api` makes of the API's answers: a run with its steps, a job with its schedules,
or an asset.
"""

from collections.abc import Sequence
from typing import Final

from collectors.dagster.runs import dataset_name, labels_of, run_facts, tags_of
from collectors.dagster.wire import Asset, AssetDocument, JobDocument, Owner, RunDocument, Schedule
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.reading import mend
from collectors.openlineage.texts import NAME_CHARS, cut, said
from watchtower.model.fact import Fact
from watchtower.model.run import DatasetPatch, DatasetRef, JobPatch, JobRef
from watchtower.ports import Decoded, Received

KIND: Final = "dagster"
_EXPECTED: Final = "a run, a job or an asset of Dagster"


def decode(body: bytes, received: Received, *, namespace: str, url: str | None) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, url, text, received)
        if "run" in document:
            told_run = mend(RunDocument, document, "", skipped) or RunDocument()
            return run_facts(told_run, told_run.run, place) if told_run.run else None
        if "job" in document:
            fact = _job(mend(JobDocument, document, "", skipped) or JobDocument(), place)
            return [fact] if fact else None
        if "asset" in document:
            known = mend(AssetDocument, document, "", skipped)
            fact = _asset(known.asset, place) if known and known.asset else None
            return [fact] if fact else None
        return None

    return decode_documents(body, read, _EXPECTED)


def schedule_of(schedules: Sequence[Schedule]) -> tuple[str, str | None]:
    """The cron expression and its zone, where one alone is running; "" says that none can be waited for. Several crons
    in one schedule are written as a list."""
    if len(schedules) != 1:
        return "", None
    cron = " ".join((schedules[0].cron_schedule or "").split())
    if not cron or cron.startswith("["):
        return "", None
    return cut(cron, NAME_CHARS), schedules[0].execution_timezone or "UTC"


def _job(document: JobDocument, place: Place) -> Fact | None:
    job = document.job
    if job is None or not job.name:
        return None
    schedule, zone = schedule_of(document.schedules or ())
    tags = labels_of(tags_of(job.tags)) or {}
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(job.name)),
        owner=_owner(job.owners) or tags.get("owner") or tags.get("team"),
        tags=tags or None,
        description=said(job.description),
        job_type="JOB",
        integration="DAGSTER",
        schedule=schedule,
        timezone=zone,
        external_url=f"{place.url}/locations/{document.location}/jobs/{job.name}" if document.location else None,
    )
    return place.definition("job", jobs=(patch,))


def _asset(asset: Asset, place: Place) -> Fact | None:
    name = dataset_name(asset.asset_key)
    if name is None:
        return None
    tags = labels_of(tags_of(asset.tags)) or {}
    if asset.group_name and asset.group_name != "default":
        tags["group"] = cut(asset.group_name, NAME_CHARS)
    if asset.kinds:
        tags["kind"] = cut(", ".join(asset.kinds), NAME_CHARS)
    patch = DatasetPatch(
        DatasetRef(place.namespace, name),
        owner=_owner(asset.owners),
        tags=tags or None,
        description=said(asset.description),
    )
    return place.definition("asset", datasets=(patch,))


def _owner(owners: Sequence[Owner] | None) -> str | None:
    names = [owner.team or owner.email or "" for owner in owners or ()]
    return cut(", ".join(filter(None, names)), NAME_CHARS) or None
