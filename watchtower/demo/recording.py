"""The bundled recording: events and spans exactly as Airflow sent them, and what the recorder knows of each pipeline.

`airflow_day.jsonl.gz` holds one line per event, `{"received_at": epoch seconds, "event": {…}}`, in order of arrival;
`airflow_spans.jsonl.gz` one per export of spans, `{"received_at": …, "request": base64 of OTLP protobuf}`;
`airflow_day.json` the versions and, per DAG, its cron, when it was unpaused (and paused), and what it shows.
"""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec

Event = dict[str, Any]

_SENDERS = {"apache-airflow": "Airflow", "apache-airflow-providers-openlineage": "its OpenLineage provider"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the recorder knows of one DAG. unpaused_at, paused_at: aware UTC."""

    dag_id: str
    cron: str
    scenario: str
    unpaused_at: datetime
    paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recording:
    """events: (received at, event), in order of arrival; exports: (received at, OTLP protobuf), likewise."""

    namespace: str
    versions: Mapping[str, str]
    pipelines: Mapping[str, Pipeline]
    events: tuple[tuple[datetime, Event], ...]
    exports: tuple[tuple[datetime, bytes], ...] = ()


def load() -> Recording:
    """The day that comes with this package."""
    folder = files("watchtower.demo")
    manifest = msgspec.json.decode((folder / "airflow_day.json").read_bytes())
    entries = _entries("airflow_day.jsonl.gz")
    exports = _entries("airflow_spans.jsonl.gz")
    return Recording(
        namespace=manifest["namespace"],
        versions={shown: manifest["versions"][name] for name, shown in _SENDERS.items()},
        pipelines={dag["dag_id"]: _pipeline(dag) for dag in manifest["dags"]},
        events=tuple((_instant(entry["received_at"]), entry["event"]) for entry in entries),
        exports=tuple((_instant(entry["received_at"]), base64.b64decode(entry["request"])) for entry in exports),
    )


def _entries(name: str) -> list[dict[str, Any]]:
    lines = gzip.decompress((files("watchtower.demo") / name).read_bytes()).splitlines()
    return [msgspec.json.decode(line) for line in lines]


def _pipeline(dag: Mapping[str, Any]) -> Pipeline:
    paused_at = dag.get("paused_at")
    return Pipeline(
        dag_id=dag["dag_id"],
        cron=dag["cron"],
        scenario=dag["scenario"],
        unpaused_at=_instant(dag["unpaused_at"]),
        paused_at=None if paused_at is None else _instant(paused_at),
    )


def _instant(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
