"""The JSON schema of the run event: what docs/events.md lists, and what is published for other tools."""

from collections.abc import Mapping
from typing import Any, Final

from collectors.events.states import SHOWN
from watchtower.model.run import Trigger

_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
_TIME: Final[dict[str, Any]] = {
    "oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}, {"type": "null"}]
}
_COUNT: Final[dict[str, Any]] = {"type": ["integer", "null"], "minimum": 0}
_PLACE: Final[dict[str, Any]] = {"type": ["integer", "null"], "minimum": 1}
_ERROR: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string"},
        {"type": "object", "properties": dict.fromkeys(("message", "type", "stack"), _TEXT)},
        {"type": "null"},
    ]
}
_PARENT: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "required": ["job", "run"],
    "properties": {"job": {"type": "string"}, "run": {"type": "string"}, "namespace": _TEXT, "generation": _COUNT},
}
_DATASETS: Final[dict[str, Any]] = {
    "type": ["array", "null"],
    "items": {
        "type": "object",
        "required": ["namespace", "name"],
        "properties": {
            "namespace": {"type": "string", "description": "as OpenLineage names it: postgres://warehouse:5432"},
            "name": {"type": "string"},
            "rows": _COUNT,
            "bytes": _COUNT,
            "files": _COUNT,
            "checksum": {**_TEXT, "description": "of its content, in a way of your own: compared as it is"},
            "partition": _TEXT,
        },
    },
}
_TAGS: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_ORIGIN: Final[dict[str, Any]] = {
    "type": "object",
    "description": "an event (type, source, id), another run (job, run) or a dataset (dataset, and who wrote it)",
    "properties": {
        **dict.fromkeys(("type", "source", "id", "job", "run", "dataset", "namespace"), _TEXT),
        "at": _TIME,
    },
}
_ORIGINS: Final[dict[str, Any]] = {
    "oneOf": [{"type": "string"}, _ORIGIN, {"type": "array", "items": _ORIGIN}, {"type": "null"}]
}
FIELDS: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "job": ({"type": "string", "minLength": 1}, "name of the pipeline"),
    "event": ({"type": "string"}, f"what happened: {SHOWN}, other; or a state in the words of a tool"),
    "run": (_TEXT, "id of the run, as its tool calls it; without one the event is a run of its own"),
    "at": (_TIME, "when it happened, RFC 3339 or a number since 1970; without one, when it came in"),
    "namespace": (_TEXT, "of the job; else that of the collector"),
    "task": (_TEXT, "the event is of one attempt of this task"),
    "attempt": (_PLACE, "which attempt of the task, from 1"),
    "max_attempts": (_PLACE, "how many there can be"),
    "map_index": (_COUNT, "which instance of a mapped task, from 0"),
    "final": ({"type": ["boolean", "null"]}, "whether no further attempt follows"),
    "generation": (_COUNT, "how often the run was cleared or re-driven under the same id"),
    "started_at": (_TIME, "when the run began; else `at` of its start"),
    "ended_at": (_TIME, "when it ended; else `at` of its end"),
    "nominal_start": (_TIME, "the time for which it was scheduled"),
    "error": (_ERROR, "why it failed: a text, or message, type and stack"),
    "output": (_TEXT, "the last that it printed"),
    "trigger": ({"enum": [*(each.value for each in Trigger), None]}, "what started it"),
    "set_off_by": (_ORIGINS, "what set it off: an event, another run, a dataset; or several of them"),
    "actor": (_TEXT, "who started it"),
    "environment": (_TEXT, "prod, staging …"),
    "code_version": (_TEXT, "commit or version of the code"),
    "url": (_TEXT, "where its tool shows it"),
    "traceparent": (_TEXT, "W3C trace context, which joins it with its spans"),
    "openlineage_run_id": (_TEXT, "its id in OpenLineage events, if they tell of it too"),
    "tags": (_TAGS, "of the run"),
    "owner": (_TEXT, "of the job"),
    "description": (_TEXT, "of the job"),
    "schedule": (_TEXT, "of the job, in cron's form"),
    "timezone": (_TEXT, "of the schedule, as an IANA name"),
    "parent": (_PARENT, "the run that started this one"),
    "inputs": (_DATASETS, "what it read"),
    "outputs": (_DATASETS, "what it wrote"),
}
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Watchtower run event",
    "type": "object",
    "required": ["job", "event"],
    "properties": {name: {**form, "description": text} for name, (form, text) in FIELDS.items()},
}
