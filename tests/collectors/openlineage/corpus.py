"""Bad input, made in code: (name, body, what must become of it). Everything here must end as facts or rejects.

`fold`: a fact, and nothing rejected; `keep`: rejected into quarantine, answered 2xx; `refuse`: no JSON, answered 400;
`either`: a fact or a kept reject, whichever, but never a refusal.
"""

import gzip
import json
from collections.abc import Iterator
from typing import Any, cast

from tests.collectors.openlineage import events

Case = tuple[str, bytes, str]
BIG = 10_000


def dump(event: Any) -> bytes:
    return json.dumps(event).encode()


def corpus() -> list[Case]:
    made = [
        *_not_json(),
        *_not_events(),
        *_deep(),
        *_numbers(),
        *_texts(),
        *_instants(),
        *_wrong_types(),
        *_missing(),
        *_huge(),
        *_lists(),
    ]
    return [(f"{index:03} {name}", body, wanted) for index, (name, body, wanted) in enumerate(made)]


def _not_json() -> Iterator[Case]:
    whole = dump(events.airflow_task("FAIL"))
    for name, body in {
        "nothing": b"",
        "blanks": b" \n\t ",
        "text": b"hello",
        "form": b"eventType=START&runId=1",
        "xml": b"<run/>",
        "half a word": b"tru",
        "open object": b"{",
        "open list": b"[",
        "open string": b'{"a": "b',
        "open escape": b'{"a": "\\',
        "no value": b'{"a":}',
        "no key": b"{:1}",
        "single quotes": b"{'a': 1}",
        "comment": b'{"a": 1} // x',
        "two objects": b'{"a": 1}{"b": 2}',
        "crossed": b'{"a": [}]',
        "closed only": b"}",
        "nul bytes": b"\x00\x00\x00",
        "gzip": gzip.compress(whole, mtime=0),
        "half": whole[: len(whole) // 2],
        "all but the end": whole[:-1],
        "begins late": whole[1:],
        "list cut": b"[" + whole,
        "list with a hole": b"[" + whole + b",," + whole + b"]",
        "list with trailing comma": b"[" + whole + b",]",
        "list with junk": b"[" + whole + b", junk]",
        "list and more": b"[" + whole + b"] x",
        "many escaped quotes, never closed": b'["' + b'\\"' * 50_000,
        "utf-16": whole.decode().encode("utf-16"),
    }.items():
        yield name, body, "refuse"


def _not_events() -> Iterator[Case]:
    for body in (b"null", b"true", b"5", b"-1.5e3", b'"run"', b"{}", b'{"a": 1}', b"[5]", b"[null]", b"[[]]", b"[{}]"):
        yield f"no event {body.decode()}", body, "keep"
    yield "empty list", b"[]", "fold"


def _deep() -> Iterator[Case]:
    for mark, name in ((b"[", "lists"), (b'{"a":', "objects")):
        close = b"]" if mark == b"[" else b"}"
        for depth in (65, 500, 1_000, 200_000):
            nest = mark * depth + b"1" + close * depth
            body = dump(events.plain()).replace(b'"facets": {}', b'"facets": {"x": ' + nest + b"}", 1)
            yield f"{depth} {name} in an event", body, "keep"
            yield f"{depth} {name} in a list of events", b"[" + body + b"]", "keep"
        yield f"200,000 {name}, closed", mark * 200_000 + b"1" + close * 200_000, "keep"
    yield "200,000 objects, open", b'{"a":' * 200_000, "keep"
    alternating = b'[{"a":' * 40 + b"1" + b"}]" * 40
    yield "lists and objects by turns", b'{"run": ' + alternating + b"}", "keep"
    yield "brackets inside of a string", dump(events.plain(producer="[{" * 5_000)), "fold"
    yield "escaped quotes and brackets", dump(events.plain(producer='\\"[{' * 5_000)), "fold"


def _numbers() -> Iterator[Case]:
    for text in ("NaN", "Infinity", "-Infinity", "9" * 5_000, "-" + "9" * 30, "1e999", "1e-999", "0.1e400", "-0"):
        unread = dump(events.plain()).replace(b'"facets": {}', b'"facets": {"mine": {"n": ' + text.encode() + b"}}", 1)
        yield f"unread {text[:12]}", unread, "fold"
        event = dump(events.airflow_task("FAIL", retries=12345)).replace(b"12345", text.encode())
        yield f"retries {text[:12]}", event, "fold"
        table = events.dataset("s3://lake", "t", outputStatistics={"rowCount": 12345})
        yield f"rows {text[:12]}", dump(events.plain(outputs=[table])).replace(b"12345", text.encode()), "fold"
    odd: tuple[Any, ...] = (-1, 2**31, 2**63, 2**64, 1.5, True, "1", None, [], {})
    for value in odd:
        yield f"try_number {value!r:.20}", dump(events.airflow_task(instance_changes={"try_number": value})), "fold"
        yield f"map_index {value!r:.20}", dump(events.airflow_task(instance_changes={"map_index": value})), "fold"
        yield f"clear_number {value!r:.20}", dump(events.airflow_dag(clear_number=value)), "fold"
        yield f"duration {value!r:.20}", dump(events.airflow_dag("FAIL", duration=value)), "fold"


def _texts() -> Iterator[Case]:
    place = b"orders.load"
    for name, text in {
        "lone high surrogate": b"a\\ud800b",
        "lone low surrogate": b"a\\udc00b",
        "surrogates the wrong way round": b"\\udc00\\ud800",
        "paired surrogates": b"\\ud83d\\ude00",
        "nul": b"a\\u0000b",
        "raw nul": b"a\x00b",
        "raw line break": b"a\nb",
        "latin-1": b"caf\xe9",
        "cut utf-8": b"caf\xc3",
        "overlong utf-8": b"\xc0\xaf",
        "utf-8 surrogate": b"\xed\xa0\x80",
        "control": b"\\u001b[31mred\\r\\n",
        "markup": b"<script>alert(1)</script>",
        "sql": b"'; DROP TABLE runs; --",
        "template": b"{{ 7*7 }}${7*7}",
        "path": b"../../etc/passwd",
        "direction": b"\\u202egnp.exe",
        "formula": b"=1+1",
        "bar": b"a|b|c",
        "percent": b"a%7Cb",
        "long": b"x" * 100_000,
    }.items():
        body = dump(events.airflow_task("FAIL"))
        yield f"job name: {name}", body.replace(place, text), "fold"
        yield f"run id: {name}", body.replace(events.TASK_UUID.encode(), text), "fold"
        yield f"error: {name}", body.replace(b"amount is missing", text), "fold"
    yield "byte order mark", b"\xef\xbb\xbf" + dump(events.plain()), "fold"
    yield "keys twice", dump(events.plain()).replace(b'"run":', b'"run": 5, "run":'), "fold"


def _instants() -> Iterator[Case]:
    good = {
        "year 1": "0001-01-01T00:00:00Z",
        "year 9999": "9999-12-31T23:59:59.999999Z",
        "before 1970": "1969-07-20T20:17:40Z",
        "leap second": "2016-12-31T23:59:60Z",
        "no zone": "2026-03-02T08:00:05",
        "nanoseconds": "2026-03-02T08:00:05.123456789Z",
        "thirty decimals": "2026-03-02T08:00:05." + "1" * 30 + "Z",
        "offset": "2026-03-02T13:45:05+05:45",
        "offset without colon": "2026-03-02T10:00:05+0200",
        "space": "2026-03-02 08:00:05Z",
        "java": "2026-03-02T09:00:05+01:00[Europe/Berlin]",
        "no seconds": "2026-03-02T08:00Z",
        "day": "2026-03-02",
    }
    bad = {
        "month 13": "2026-13-01T00:00:00Z",
        "30 February": "2026-02-30T00:00:00Z",
        "hour 25": "2026-03-02T25:00:00Z",
        "second 61": "2026-03-02T08:00:61Z",
        "before year 1 in UTC": "0001-01-01T00:00:00+14:00",
        "after year 9999 in UTC": "9999-12-31T23:59:59-14:00",
        "last leap second": "9999-12-31T23:59:60Z",
        "offset of 99 hours": "2026-03-02T08:00:00+99:00",
        "year 10000": "10000-01-01T00:00:00Z",
        "words": "yesterday",
        "empty": "",
        "long": "2" * 100_000,
        "other digits": "２０２６-03-02T08:00:00Z",
    }
    for name, text in good.items():
        yield f"eventTime {name}", dump(events.plain(eventTime=text)), "fold"
    for name, text in bad.items():
        yield f"eventTime {name}", dump(events.plain(eventTime=text)), "keep"
    odd: tuple[Any, ...] = (None, 1772438405, 1.5, True, [], {})
    for value in odd:
        yield f"eventTime {value!r}", dump(events.plain(eventTime=value)), "keep"
    for name, text in bad.items():
        body = events.airflow_dag("COMPLETE", start_date=text, end_date=text, run_after=text)
        body["run"]["facets"]["nominalTime"] = {"nominalStartTime": text, "nominalEndTime": text}
        yield f"dag run times {name}", dump(body), "fold"


def _wrong_types() -> Iterator[Case]:
    """Each field of a full event is in turn something else: at most the ones that name it cost the event."""
    named = {("run",), ("run", "runId"), ("job",), ("job", "namespace"), ("job", "name"), ("eventTime",)}
    for event in (events.airflow_task("FAIL"), events.airflow_dag("FAIL"), _with_datasets()):
        for path in _paths(event):
            for value in (5, "text", [1], {"a": 1}, None, [None], False):
                wanted = "either" if path in named else "fold"
                yield f"{'.'.join(map(str, path))} = {value!r}", dump(_changed(event, path, value)), wanted


def _with_datasets() -> Any:
    table = events.dataset(
        "s3://lake",
        "orders",
        schema={"fields": [{"name": "id", "type": "int"}]},
        ownership={"owners": [{"name": "data"}]},
        outputStatistics={"rowCount": 1, "size": 2, "fileCount": 3},
        dataQualityAssertions={"assertions": [{"assertion": "x", "success": False}]},
        lifecycleStateChange={"lifecycleStateChange": "CREATE"},
        tags={"tags": [{"key": "a", "value": "b"}]},
    )
    return events.plain("FAIL", inputs=[table], outputs=[table])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            if key not in ("_producer", "_schemaURL", "unknownSourceAttribute"):
                yield from _paths(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from _paths(cast("list[Any]", value)[0], (*path, 0))


def _changed(event: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(event))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def _missing() -> Iterator[Case]:
    for key in ("eventTime", "run", "job"):
        event = events.plain()
        del event[key]
        yield f"without {key}", dump(event), "either" if key == "run" else "keep"
    for key in ("eventType", "producer", "schemaURL", "inputs", "outputs"):
        event = events.plain()
        del event[key]
        yield f"without {key}", dump(event), "fold"
    yield "empty run id", dump(events.plain(run={"runId": ""})), "keep"
    yield "no run id", dump(events.plain(run={})), "keep"
    yield "null run", dump(events.plain(run=None)), "keep"
    yield "empty job name", dump({**events.plain(), "job": {"namespace": "a", "name": ""}}), "keep"
    yield "no namespace", dump({**events.plain(), "job": {"name": "a"}}), "keep"
    yield "null everything", dump(dict.fromkeys(events.plain())), "keep"
    yield "null dataset", dump({"eventTime": events.AT.isoformat(), "dataset": None}), "keep"
    yield "nameless dataset", dump({"eventTime": events.AT.isoformat(), "dataset": {"namespace": "a"}}), "keep"


def _huge() -> Iterator[Case]:
    tags = {"tags": [{"key": f"k{n}", "value": "v"} for n in range(BIG)]}
    event = events.plain()
    event["run"]["facets"]["tags"] = tags
    yield "10,000 labels on a run", dump(event), "keep"
    event = events.plain()
    event["job"]["facets"]["tags"] = tags
    yield "10,000 labels on a job", dump(event), "keep"
    table = events.dataset("s3://lake", "t", tags=tags)
    yield "10,000 labels on a dataset", dump(events.plain(outputs=[table])), "keep"
    event = events.plain()
    event["run"]["facets"].update({f"facet{n}": {"x": n} for n in range(BIG)})
    yield "10,000 facets", dump(event), "fold"
    event["run"]["facets"] = {"parent": {}, "errorMessage": {"message": "x" * 1_000_000, "stackTrace": "y\n" * 500_000}}
    yield "megabytes of error", dump({**event, "eventType": "FAIL"}), "fold"
    yield "10,000 owners", dump(_owned([{"name": f"o{n}"} for n in range(BIG)])), "fold"
    yield (
        "10,000 columns",
        dump(
            events.plain(
                outputs=[events.dataset("s3://l", "t", schema={"fields": [{"name": f"c{n}"} for n in range(BIG)]})]
            )
        ),
        "fold",
    )
    yield "10,000 task states", dump(events.airflow_dag("FAIL", states={f"t{n}": "failed" for n in range(BIG)})), "fold"
    yield (
        "10,000 upstream tasks",
        dump(events.airflow_task(task_changes={"upstream_task_ids": repr([f"t{n}" for n in range(BIG)])})),
        "fold",
    )
    yield "a schedule of 100,000 characters", dump(_scheduled("* " * 50_000)), "fold"


def _owned(owners: Any) -> Any:
    event = events.plain()
    event["job"]["facets"]["ownership"] = {"owners": owners}
    return event


def _scheduled(expression: str) -> Any:
    event = events.airflow_dag()
    event["run"]["facets"]["airflowDagRun"]["dag"]["timetable"] = {"expression": expression, "timezone": "UTC"}
    return event


def _lists() -> Iterator[Case]:
    good, nan = dump(events.plain()), dump(events.plain()).replace(b'"shop"', b"NaN")
    yield "a list with a job of NaN", b"[" + good + b"," + nan + b"]", "either"
    yield "a list with a string of brackets", b"[" + dump(events.plain(producer="]},{[")) + b"]", "fold"
