"""A JSON schema (draft 2020-12) of the whole file for editors, put together from the types that read it.

Validators turn texts such as `5m` into numbers, so where one stands before a type the schema takes texts, too. It is
made for completion and for typing errors; what it lets through is still judged by `watchtower check`.
"""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from watchtower.config.budgets import BudgetDocument
from watchtower.config.calendars import CalendarDocument
from watchtower.config.flapping import FlappingDocument
from watchtower.config.intervals import IntervalDocument, RangeDocument
from watchtower.config.keys import OWN_KEYS, RESERVED, SECTIONS
from watchtower.config.maintenance import MaintenanceDocument
from watchtower.config.oncall import PHONES, EscalationDocument, OncallConfigDocument, OncallDocument, PersonDocument
from watchtower.config.openslo import DOCUMENTS
from watchtower.config.receivers import ONCALL, SUFFIX, GlobalDocument
from watchtower.config.routing import InhibitRuleDocument, RouteDocument
from watchtower.config.rules import RuleDocument
from watchtower.config.sections import (
    BackupConfig,
    HeartbeatConfig,
    OutboundConfig,
    RetentionConfig,
    ScrubConfig,
    ServerConfig,
    StorageConfig,
)
from watchtower.config.subjects import DatasetDocument, JobDocument, OwnershipDocument
from watchtower.registry import Registries

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT_OR_LIST = [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]
_MATCH: dict[str, Any] = {
    "description": "labels to match: a value, ~regular-expression, or a list of values; a text alone is the pipeline",
    "anyOf": [
        {"type": "string"},
        {"type": "object", "additionalProperties": {"anyOf": [*_TEXT_OR_LIST, {"type": "number"}]}},
    ],
}

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """A validator that runs before a plain type reads texts, too; one before a model only looks at its keys."""
        inner = super().function_before_schema(schema)
        if "$ref" in inner or inner.get("type") == "object":
            return inner
        more = _TEXT_OR_LIST if inner.get("type") == "array" else _TEXT_OR_LIST[:1]
        return {"anyOf": [inner, *more]}


def json_schema(registries: Registries | None = None) -> Schema:
    """Of every section, with the options of every plug-in that is installed."""
    registries = registries or Registries()
    maker = _Maker()
    job, dataset = maker.of(JobDocument), maker.of(DatasetDocument)
    properties: dict[str, Schema] = {
        "store": {"type": "string"},
        "server": maker.of(ServerConfig),
        "collectors": _mapping(
            {name: maker.of(registries.collector(name).Config) for name in registries.collector_kinds}
        ),
        "jobs": _list_or_mapping(job),
        "datasets": _list_or_mapping(dataset),
        "ownership": _list(maker.of(OwnershipDocument)),
        "rules": _list(_rule(registries, maker)),
        "budgets": _list(_budget(maker)),
        "slos": _list(_openslo(maker)),
        "oncall": _oncall(registries, maker),
        "severity_map": {"type": "object", "additionalProperties": {"enum": ["page", "ticket", "info"]}},
        "global": _global(registries, maker),
        "route": maker.route(),
        "receivers": _list(_receiver(registries, maker)),
        "inhibit_rules": _list(maker.of(InhibitRuleDocument)),
        "time_intervals": _list(maker.interval()),
        "mute_time_intervals": _list(maker.interval()),
        "maintenance": _list(maker.of(MaintenanceDocument)),
        "calendars": _named(maker, maker.of(CalendarDocument)),
        "flapping": maker.of(FlappingDocument),
        "templates": _list({"type": "string"}),
        "outbound": maker.of(OutboundConfig),
        "scrub": maker.of(ScrubConfig),
        "retention": maker.of(RetentionConfig),
        "storage": maker.of(StorageConfig),
        "backup": maker.of(BackupConfig),
        "heartbeat": maker.of(HeartbeatConfig),
        "emergency": _emergency(registries, maker),
        **{name: {"type": ["object", "array", "null"]} for name in RESERVED},
    }
    return {
        "$schema": DIALECT,
        "title": "watchtower.yaml",
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {f"^{OWN_KEYS}": {}},
        "properties": {
            name: {"description": SECTIONS.get(name, "planned"), **_or_nothing(schema)}
            for name, schema in properties.items()
        },
        "$defs": maker.definitions,
    }


class _Maker:
    """Makes schemas whose `$ref`s lead into one shared `$defs`."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def of(self, model: type[BaseModel]) -> Schema:
        """A reference to the definition of model. Models of the same name and another shape are kept apart."""
        made = model.model_json_schema(schema_generator=_Generator, ref_template="#/$defs/{model}")
        inner: dict[str, Schema] = made.pop("$defs", {})
        name = made.pop("title", model.__name__)
        if self.definitions.get(name, made) != made:
            name = f"{model.__module__}.{name}"
        for other, schema in inner.items():
            self.definitions.setdefault(other, schema)
        self.definitions[name] = made
        return {"$ref": f"#/$defs/{name}"}

    def route(self) -> Schema:
        reference = self.of(RouteDocument)
        self._put(reference, "routes", _list(reference))
        return reference

    def interval(self) -> Schema:
        reference = self.of(IntervalDocument)
        self._put(reference, "time_intervals", _list(self.of(RangeDocument)))
        return reference

    def _put(self, reference: Schema, key: str, schema: Schema) -> None:
        self.definitions[reference["$ref"].rpartition("/")[2]]["properties"][key] = schema

    def resolved(self, reference: Schema) -> Schema:
        return self.definitions[reference["$ref"].rpartition("/")[2]]


def _rule(registries: Registries, maker: _Maker) -> Schema:
    """The common keys beside the options of the kind, which `kind` chooses."""
    common = maker.resolved(maker.of(RuleDocument))
    shared: dict[str, Any] = {**common["properties"], "match": _MATCH}
    shared["kind"] = {"enum": list(registries.rule_kinds.names), "description": "what is watched"}
    options = {kind: maker.resolved(maker.of(registries.rule_kinds.get(kind).Config)) for kind in registries.rule_kinds}
    chosen = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {
                "properties": {**dict.fromkeys(shared, True), **schema.get("properties", {})},
                "required": schema.get("required", []),
                "additionalProperties": False,
            },
        }
        for kind, schema in options.items()
    ]
    return {"type": "object", "properties": shared, "required": ["alert", "kind"], "allOf": chosen}


def _budget(maker: _Maker) -> Schema:
    """A threshold may be a share alone."""
    reference = maker.of(BudgetDocument)
    thresholds = maker.resolved(reference)["properties"]["thresholds"]
    share = maker.resolved(thresholds["items"])["properties"]["at"]
    thresholds["items"] = {"anyOf": [share, thresholds["items"]]}
    return reference


def _openslo(maker: _Maker) -> Schema:
    """The path of files, or a document of any kind, which its `kind` chooses."""
    kinds = {kind: maker.of(model) for kind, model in DOCUMENTS.items()}
    chosen = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": reference}
        for kind, reference in kinds.items()
    ]
    known: Schema = {"properties": {"kind": {"enum": list(kinds)}}, "required": ["apiVersion", "kind", "metadata"]}
    return {"if": {"type": "string"}, "else": {"type": "object", **known, "allOf": chosen}}


def _oncall(registries: Registries, maker: _Maker) -> Schema:
    """people and escalations by names of the file; twilio takes what the channels for telephones take."""
    reference = maker.of(OncallDocument)
    properties = maker.resolved(reference)["properties"]
    properties["people"]["additionalProperties"] = maker.of(PersonDocument)
    properties["escalations"]["additionalProperties"] = maker.of(EscalationDocument)
    account: dict[str, Schema] = {}
    for kind in PHONES:
        account |= maker.resolved(maker.of(registries.channels.get(kind).Config))["properties"]
    own = {key: schema for key, schema in account.items() if key not in ("to", "send_resolved")}
    properties["twilio"] = {**properties["twilio"], "properties": own, "additionalProperties": False}
    return reference


def _receiver(registries: Registries, maker: _Maker) -> Schema:
    """No key of a destination is required here, since `global` can give it."""
    properties: dict[str, Schema] = {"name": {"type": "string"}}
    for kind in registries.destinations:
        reference = maker.of(registries.destination(kind).Config)
        maker.resolved(reference).pop("required", None)
        properties[f"{kind}{SUFFIX}"] = _list(reference)
    properties[f"{ONCALL}{SUFFIX}"] = _list(maker.of(OncallConfigDocument))
    return {"type": "object", "properties": properties, "required": ["name"], "additionalProperties": False}


def _emergency(registries: Registries, maker: _Maker) -> Schema:
    receiver = _receiver(registries, maker)
    known = {key: schema for key, schema in receiver["properties"].items() if key not in ("name", f"{ONCALL}{SUFFIX}")}
    return {"type": "object", "properties": known, "additionalProperties": False}


def _global(registries: Registries, maker: _Maker) -> Schema:
    """Keys of providers that are not supported yet are accepted, so further ones are let through."""
    properties: dict[str, Schema] = dict(maker.resolved(maker.of(GlobalDocument))["properties"])
    for kind in registries.destinations:
        config = registries.destination(kind).Config
        fields = cast("dict[str, Schema]", maker.resolved(maker.of(config)).get("properties", {}))
        keys: Mapping[str, str] = getattr(config, "global_keys", {})
        properties.update({name: fields[key] for key, name in keys.items() if key in fields})
    return {"type": "object", "properties": properties}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _mapping(properties: dict[str, Schema]) -> Schema:
    nullable = {name: _or_nothing(schema) for name, schema in properties.items()}
    return {"type": "object", "properties": nullable, "additionalProperties": False}


def _list_or_mapping(item: Schema) -> Schema:
    return {"anyOf": [_list(item), {"type": "object", "additionalProperties": _or_nothing(item)}]}


def _named(maker: _Maker, item: Schema) -> Schema:
    """A list of entries with names, or a mapping whose keys are the names."""
    without: Schema = {**maker.resolved(item), "required": []}
    return {"anyOf": [_list(item), {"type": "object", "additionalProperties": without}]}


def _or_nothing(schema: Schema) -> Schema:
    """A section whose lines are all commented out is there, and empty."""
    return {"anyOf": [schema, {"type": "null"}]}
