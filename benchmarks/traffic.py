"""Events as live traffic sends them: fresh run ids, event times of the last seconds, two thousand pipelines in turn.

A template is an event with marks (`@run@`, `@time@`, `@pipeline@`), so that Python and wrk's Lua fill in the same one.
"""

import json
import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

PIPELINES: Final = 2_000
SPREAD_S: Final = 10  # how far event times lie behind now
MARKS: Final = ("@run@", "@time@", "@pipeline@")

_PRODUCER = "https://example.com/orchestrator/1.0"
_FACET = {"_producer": _PRODUCER, "_schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"}


def event(event_type: str = "COMPLETE", *, datasets: bool = False, **facets: Any) -> dict[str, Any]:
    """A run event of a pipeline with the facets that a plain client sends; about 1.7 kB. datasets: with one that was
    read and one that was written, and its statistics."""
    run_facets = {
        "nominalTime": {**_FACET, "nominalStartTime": "@time@", "nominalEndTime": "@time@"},
        "processing_engine": {
            **_FACET,
            "name": "orchestrator",
            "version": "3.1.0",
            "openlineageAdapterVersion": "1.54",
        },
        "tags": {**_FACET, "tags": [{"key": "environment", "value": "prod", "source": "USER"}]},
        **facets,
    }
    job_facets = {
        "jobType": {**_FACET, "processingType": "BATCH", "integration": "OTHER", "jobType": "JOB"},
        "ownership": {**_FACET, "owners": [{"name": "data-platform", "type": "team"}]},
        "documentation": {**_FACET, "description": "loads the orders of one hour"},
    }
    read = {"namespace": "postgres://db.example.com:5432", "name": "shop.public.@pipeline@_in"}
    written = {
        "namespace": "s3://lake",
        "name": "shop/@pipeline@",
        "outputFacets": {"outputStatistics": {**_FACET, "rowCount": 123456, "size": 98765432, "fileCount": 12}},
    }
    return {
        "eventTime": "@time@",
        "eventType": event_type,
        "producer": _PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "@run@", "facets": run_facets},
        "job": {"namespace": "prod", "name": "@pipeline@", "facets": job_facets},
        "inputs": [read] if datasets else [],
        "outputs": [written] if datasets else [],
    }


def failure() -> dict[str, Any]:
    message = {**_FACET, "message": "amount is missing", "programmingLanguage": "python", "stackTrace": "load, line 46"}
    return event("FAIL", errorMessage=message)


def template(made: dict[str, Any]) -> str:
    return json.dumps(made, separators=(",", ":"))


def filled(text: str, *, run: str, at: datetime, pipeline: str) -> bytes:
    """One event of the template, at this moment (aware UTC)."""
    time = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return text.replace("@run@", run).replace("@time@", time).replace("@pipeline@", pipeline).encode()


def pipeline_name(number: int) -> str:
    return f"pipeline_{number % PIPELINES:04d}"


def live(text: str, now: datetime, count: int, *, seed: int, first: int = 0) -> Iterator[bytes]:
    """count events of the template, as they come in just before now, from pipeline number `first` on. The same seed
    gives the same events."""
    chance = random.Random(seed)
    for number in range(count):
        run = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        at = now - timedelta(microseconds=chance.randrange(SPREAD_S * 1_000_000))
        yield filled(text, run=run, at=at, pipeline=pipeline_name(first + number))
