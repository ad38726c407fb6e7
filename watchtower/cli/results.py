"""`ingest dbt`, `ingest great_expectations` …: results of data tests from the files that tools write."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collectors.quality import CONVERTERS, Unread, dbt
from watchtower.cli.client import connected
from watchtower.cli.output import err, show_json, wants_json
from watchtower.cli.settings import Settings
from watchtower.errors import UsageError

KINDS = ("dbt", *CONVERTERS)
EVENTS = "/api/v1/events"
_AT_ONCE = 500


def bring(at: Settings, kind: str, files: Sequence[Path], job: str | None, namespace: str | None) -> int:
    """Send the results in files; how many of them were not taken. Raises UsageError that names file and form."""
    found = [event for file in files for event in _events(kind, file, job, namespace)]
    sent = {"events": 0, "failed": 0}
    with connected(at, new=True) as client:
        for start in range(0, len(found), _AT_ONCE):
            answer = client.send(EVENTS, json.dumps(found[start : start + _AT_ONCE]).encode())
            sent["events"] += answer["summary"]["received"]
            sent["failed"] += answer["summary"]["failed"]
    if wants_json(at.output):
        show_json(sent)
    else:
        lost = f", {sent['failed']} not taken" if sent["failed"] else ""
        err.print(f"{sent['events']} results of {kind} sent{lost}")
    return sent["failed"]


def _events(kind: str, file: Path, job: str | None, namespace: str | None) -> list[dict[str, Any]]:
    try:
        if kind == "dbt":
            return _of_dbt(file, job, namespace)
        place = {name: said for name, said in (("job", job), ("namespace", namespace)) if said}
        return [{**event, **place} for event in CONVERTERS[kind](_read(file))]
    except Unread as error:
        raise UsageError(f"{file}: {error}") from error


def _of_dbt(folder: Path, job: str | None, namespace: str | None) -> list[dict[str, Any]]:
    """folder: the project's `target`, or run_results.json itself. The other two files may be missing."""
    folder = folder.parent if folder.name == "run_results.json" else folder
    others = [folder / name for name in ("manifest.json", "sources.json")]
    manifest, sources = (_read(file) if file.exists() else None for file in others)
    return dbt.events(_read(folder / "run_results.json"), manifest, sources, job=job, namespace=namespace)


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}") from error
