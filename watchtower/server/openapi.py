"""The OpenAPI 3.1 document, made from the route table and the structs that are really sent."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

import msgspec

from collectors.events.run_event_schema import SCHEMA
from watchtower import __version__
from watchtower.model.series import MAX_LABELS, MAX_UNIT, NAME
from watchtower.server.endpoints import Endpoint, Open, Raw
from watchtower.server.ingest import INGEST_ROUTES, IngestAnswer

_REF = "#/components/schemas/{name}"
# what is answered where no struct is declared
_PLAIN = {"api": "application/json", "page": "text/html", "text": "text/plain"}
_REASONS = {
    400: "The request cannot be understood.",
    401: "No token, or one that is not valid.",
    403: "Not permitted.",
    404: "There is no such thing, or it is another team's.",
    408: "The body did not come in time.",
    409: "Not possible as things stand.",
    413: "The body is too large.",
    415: "An encoding that is not known here.",
    422: "Refused; the detail says why.",
    429: "Too often; Retry-After says when to come again.",
    503: "The store does not answer at present; come again.",
}

RUN_EVENT: dict[str, Any] = {name: said for name, said in SCHEMA.items() if name != "$schema"}

# What `POST /api/v1/series` takes (collectors.series).
SAMPLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "value"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
        "value": {"type": "number"},
        "job": {"type": ["string", "null"]},
        "namespace": {"type": ["string", "null"]},
        "task": {"type": ["string", "null"]},
        "run": {"type": ["string", "null"]},
        "at": {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}, {"type": "null"}]},
        "labels": {"type": ["object", "null"], "maxProperties": MAX_LABELS},
        "unit": {"type": ["string", "null"], "maxLength": MAX_UNIT},
        "kind": {"enum": ["gauge", "sum", "delta", None]},
    },
}


class ProblemDetails(msgspec.Struct, frozen=True):
    """RFC 9457. instance: `urn:watchtower:request:<id>`, to be looked for in the log."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None


@cache
def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    kinds = _kinds(endpoints)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_kind, components)
    _links(endpoints, paths)
    for path, collector in INGEST_ROUTES.items():
        is_otlp = collector.startswith("otlp_")
        operation = _otlp_operation(path) if is_otlp else _ingest_operation(path, collector, by_kind[IngestAnswer])
        paths.setdefault(path, {})["post"] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Watchtower", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "wt_<kind>_<id>_<secret>_<crc32>"}
            },
        },
        "security": [{"token": []}],
    }


def answer(endpoints: Sequence[Endpoint]) -> Raw:
    return Raw(msgspec.json.encode(document(endpoints)), "application/json")


def _kinds(endpoints: Sequence[Endpoint]) -> list[type[msgspec.Struct]]:
    kinds: dict[type[msgspec.Struct], None] = {ProblemDetails: None, IngestAnswer: None}
    for endpoint in endpoints:
        for kind in (endpoint.answers, endpoint.query, endpoint.body):
            if kind is not None:
                kinds[kind] = None
    return list(kinds)


def _operation(
    endpoint: Endpoint, by_kind: dict[type[msgspec.Struct], Any], components: dict[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, by_kind, components)],
        "responses": _responses(endpoint, by_kind),
    }
    if isinstance(endpoint.permission, Open):
        operation["security"] = []
    else:
        operation["x-permission"] = endpoint.permission.value
    if endpoint.body is not None:
        form = endpoint.kind == "page"
        content_type = "application/x-www-form-urlencoded" if form else "application/json"
        required = any(field.required for field in msgspec.structs.fields(endpoint.body))
        operation["requestBody"] = {"required": required, "content": {content_type: {"schema": by_kind[endpoint.body]}}}
    return operation


def _responses(endpoint: Endpoint, by_kind: dict[type[msgspec.Struct], Any]) -> dict[str, Any]:
    if endpoint.answers is not None:
        good: dict[str, Any] = {"application/json": {"schema": by_kind[endpoint.answers]}}
    else:
        good = {_PLAIN[endpoint.kind]: {"schema": {"type": "object" if endpoint.kind == "api" else "string"}}}
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": good}}
    if endpoint.path == "/readyz":
        responses["503"] = {"description": "Not ready.", "content": good}
    if endpoint.kind == "page":
        responses["303"] = {"description": "Go on there."}
    if endpoint.path == "/api/v1/runs/{id}":
        responses["308"] = {"description": "The run was merged into this one."}
    always = () if isinstance(endpoint.permission, Open) else (400, 401, 403, 503)
    bodies = (408, 413) if endpoint.method == "POST" else ()
    for status in sorted({*always, *bodies, *endpoint.statuses}):
        responses[str(status)] = _shown(status) if endpoint.kind == "page" else _problem(status, by_kind)
    return responses


def _shown(status: int) -> dict[str, Any]:
    """A problem as a page."""
    return {"description": _REASONS[status], "content": {_PLAIN["page"]: {"schema": {"type": "string"}}}}


def _links(endpoints: Sequence[Endpoint], paths: Mapping[str, Any]) -> None:
    """What an answer names can be asked for: the first item of a list, and what was just made."""
    answers = {(endpoint.method, endpoint.path): endpoint.answers for endpoint in endpoints}
    for endpoint in (one for one in endpoints if one.kind == "api"):
        base, _, rest = endpoint.path.partition("/{")
        name = rest.partition("}")[0]
        for method, place in (("GET", f"items/0/{name}"), ("POST", name)):
            if _names(answers.get((method, base)), name, in_list=method == "GET"):
                link = {"operationId": _operation_id(endpoint), "parameters": {name: f"$response.body#/{place}"}}
                links = paths[base][method.lower()]["responses"]["200"].setdefault("links", {})
                links[_operation_id(endpoint)] = link


def _names(kind: type[msgspec.Struct] | None, name: str, *, in_list: bool) -> bool:
    """Whether kind, or the items of its list, have a field of that name."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)} if kind is not None else {}
    if in_list:
        (item,) = get_args(fields.get("items")) or (None,)
        return item is not None and _names(item, name, in_list=False)
    return name in fields


_SENT: dict[str, tuple[str, dict[str, Any]]] = {
    "openlineage": ("OpenLineage events: one object or a list of them.", {}),
    "data_factory": ("Records of Data Factory's diagnostic log, one or a list of them (docs/data-factory.md).", {}),
    "prefect": ("Events of Prefect: one object or a list of them (docs/prefect.md).", {}),
    "series": (
        "Samples of series: one object or a list of them (docs/series.md).",
        {"oneOf": [SAMPLE_SCHEMA, {"type": "array", "items": SAMPLE_SCHEMA}]},
    ),
    "events": (
        "Run events, CloudEvents, EventBridge or Event Grid events: one object or a list of them (docs/events.md).",
        {"anyOf": [RUN_EVENT, {"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
    ),
}


def _ingest_operation(path: str, collector: str, schema: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    summary, sent = _SENT[collector]
    problems = {str(status): {"description": _REASONS[status]} for status in (400, 401, 403, 408, 413, 503)}
    return {
        "operationId": f"post_{path.removeprefix('/api/v1/').replace('/', '_')}",
        "summary": summary,
        "x-permission": "ingest:write",
        "requestBody": {"required": True, "content": {"application/json": {"schema": sent}}},
        "responses": {
            "200": {"description": "Stored.", "content": content},
            "202": {"description": "Durable in the spool, stored as soon as the store answers.", "content": content},
            **problems,
        },
    }


def _otlp_operation(path: str) -> dict[str, Any]:
    """The messages are those of opentelemetry-proto, whose own documents describe them."""
    content: dict[str, Any] = {"application/x-protobuf": {}, "application/json": {"schema": {"type": "object"}}}
    signal = path.rpartition("/")[2]
    return {
        "operationId": f"post_{path.strip('/').replace('/', '_')}",
        "summary": f"OTLP {signal}: an export request, as protobuf or JSON.",
        "x-permission": "ingest:write",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "Durable; `partial_success` tells what was rejected.", "content": content},
            **{
                str(status): {"description": _REASONS[status], "content": content}
                for status in (400, 401, 403, 413, 415, 503)
            },
        },
    }


def _problem(status: int, by_kind: dict[type[msgspec.Struct], Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": by_kind[ProblemDetails]}}
    return {"description": _REASONS[status], "content": content}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(
    endpoint: Endpoint, by_kind: dict[type[msgspec.Struct], Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = components[by_kind[endpoint.query]["$ref"].rpartition("/")[2]]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": _in_query(wanted)}
        for name, wanted in schema["properties"].items()
    ]


def _in_query(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without null: a parameter that is not wanted is left out."""
    kinds = [kind for kind in wanted.get("anyOf", ()) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else wanted


def _operation_id(endpoint: Endpoint) -> str:
    words = re.sub(r"\W+", "_", endpoint.path.removeprefix("/api/v1").replace("{", "by_")).strip("_")
    return f"{endpoint.method.lower()}_{words or 'now'}"
