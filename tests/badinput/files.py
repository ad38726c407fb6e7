"""A file of the corpus, and the good bodies that the bad ones are made of: one of each thing that is sent here."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tests import otlp
from tests.collectors.openlineage import events

PER_KIND = 40
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class File:
    """name: unique, its kind first; encoding: what its sender says it is compressed with."""

    name: str
    body: bytes
    content_type: str = JSON
    encoding: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": self.content_type, **({"Content-Encoding": self.encoding} if self.encoding else {})}


Kind = Callable[[], Iterator[File]]


def forty(kind: str, made: Sequence[File]) -> list[File]:
    """Exactly as many as a kind has, each under its own name."""
    assert len(made) >= PER_KIND, f"{kind} has {len(made)} files, and {PER_KIND} are wanted"
    return [
        File(f"{kind} {index:02} {file.name}", file.body, file.content_type, file.encoding)
        for index, file in enumerate(made[:PER_KIND])
    ]


def good_bodies() -> dict[str, Any]:
    """What is taken, or would be with the right rights, at one entry or another."""
    return {
        "run event": events.airflow_task("FAIL"),
        "dag run event": events.airflow_dag("COMPLETE"),
        "sample": {"name": "queue.length", "value": 3.5, "job": "orders", "labels": {"region": "eu"}},
        "spans": otlp.as_json(otlp.request([otlp.span(1, said={"airflow.dag_id": "orders"}), otlp.span(2, parent=1)])),
        "metrics": {
            "resourceMetrics": [
                {
                    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                    "scopeMetrics": [{"metrics": [{"name": "depth", "gauge": {"dataPoints": [_POINT]}}]}],
                }
            ]
        },
        "silence": {
            "matchers": [{"name": "pipeline", "value": "orders", "op": "=~"}],
            "ends_at": "2026-03-02T12:00:00Z",
            "comment": "deploy",
        },
        "token": {"name": "ci", "scopes": ["read"], "expires_at": "2026-03-03T00:00:00Z"},
        "press": {
            "type": "block_actions",
            "user": {"id": "U0000001"},
            "actions": [{"action_id": "acknowledge", "value": "n1", "action_ts": "1772438400.000100"}],
        },
        "person": {"id": "night-shift", "role": "responder", "team": "data"},
        "hand-in": {"kind": "focus", "files": ["/tmp/bill.csv"], "source": "aws", "period": "2026-03"},
    }


_POINT: dict[str, Any] = {"asDouble": 7.5, "timeUnixNano": "1772438400000000000", "attributes": []}


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each leaf."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from paths(item, (*path, index))
    else:
        yield path


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copy


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def everywhere(replacements: Sequence[tuple[str, bytes]]) -> Iterator[File]:
    """Each replacement, as raw JSON, in a text, in a number and in a further key of the good bodies by turns."""
    bodies = list(good_bodies().items())
    turn = 0
    while True:
        for name, raw in replacements:
            what, body = bodies[turn % len(bodies)]
            leaves = list(paths(body))
            leaf = leaves[(turn * 7) % len(leaves)]
            text = dump(changed(body, leaf, "@here@"))
            yield File(f"{name} as {'.'.join(map(str, leaf))} of a {what}", text.replace(b'"@here@"', raw))
            turn += 1


def taken(files: Iterator[File], count: int = PER_KIND) -> list[File]:
    return [next(files) for _ in range(count)]
