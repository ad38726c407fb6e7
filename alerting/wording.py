"""Times, spans and the evidence of an alert put into words for people. Pure; used by rendering.

Evidence is what a rule kind puts into `Violation.evidence` (JSON values). Names with a meaning here: `native_run_id`
or else `run_id`, `cause` (a sentence), `attempt` and `max_attempts`, `error`, `error_type`, `stack`, `log_tail`,
`tasks` (failed ones, worst first), `timezone`; a name that ends in `_url` is a link, in `_s` a span in seconds; a text
that is an RFC 3339 moment is shown as one. All others stand under their own name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerting.escaping import clean, last_lines, one_line, shorten, web_link
from watchtower.model.duration import spoken

MAX_VALUE = 300  # characters of one fact
MAX_CAUSE = 600
MAX_FACTS = 16  # facts of one alert
ERROR_LINES = 15  # the end of a stack trace or log that is shown
ERROR_CHARS = 1800

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")
_FIRST = (
    *(
        "changed",
        "native_run_id",
        "expected",
        "expected_at",
        "expected_last",
        "seen",
        "last_update",
        "duration_s",
        "limit",
    ),
    *("usual_median_s", "usual_p95_s", "usual_runs", "schedule", "started_at", "ended_at", "failed_at"),
)
_APART = frozenset(
    {
        *("cause", "cause_evidence", "attempt", "max_attempts", "error", "error_type", "stack", "log_tail", "tasks"),
        *("timezone", "since", "generation", "changed_at", "learned"),
    }
)
_LABELS = {
    "native_run_id": "Run",
    "run_id": "Run",
    "changed": "Changed before",
    "usual_p95_s": "Usual 95th percentile",
    "map_index": "Mapped task",
    "more_tasks": "More failed tasks",
}
_LIMITS_IN_SECONDS = frozenset({"duration", "deadline", "freshness", "missing_run", "orphan"})
_LINKS = {
    "run_url": "Run",
    "external_url": "Run",
    "url": "Run",
    "log_url": "Log",
    "task_url": "Task",
    "change_url": "Change",
}


@dataclass(frozen=True, slots=True)
class Link:
    """text is always ours; url has been checked to be a plain http(s) address."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Evidence:
    facts: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    error: str
    links: tuple[Link, ...]
    cause: str = ""


def moment(when: datetime, timezone: str | None = None) -> str:
    """`2026-03-02 05:00:00 UTC`, and the same in the zone of the job where one is known."""
    text = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    zone = _zone(timezone)
    if zone is None:
        return text
    there = when.astimezone(zone)
    shown = f"{there:%H:%M:%S}" if there.date() == when.astimezone(UTC).date() else f"{there:%Y-%m-%d %H:%M:%S}"
    return f"{text} ({shown} {timezone})"


def evidence(found: Mapping[str, Any], kind: str = "") -> Evidence:
    """What a rule of this kind found, as facts (in a fixed order), further failed tasks, the error, and links."""
    if kind in _LIMITS_IN_SECONDS and isinstance(found.get("limit"), int | float):
        found = {**found, "limit": spoken(float(found["limit"]))}
    if found.get("native_run_id"):
        found = {name: value for name, value in found.items() if name != "run_id"}
    tasks = [cast("dict[str, Any]", task) for task in _list(found.get("tasks")) if isinstance(task, dict)]
    facts = tuple(_facts(found, tasks))[:MAX_FACTS]
    return Evidence(facts, tuple(map(_task_line, tasks[1:])), _error(found), tuple(_links(found)), _cause(found))


def flat(found: Mapping[str, Any]) -> dict[str, str]:
    """The scalar facts as text, under their own names: for machines that take strings only."""
    return {name: _plain(value) for name, value in sorted(found.items()) if value is not None and _is_scalar(value)}


def _facts(found: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    timezone = _text(found.get("timezone"))
    if tasks:
        yield "Failed task", _task_name(tasks[0])
    if found.get("attempt") is not None:
        yield "Attempt", _attempt(found)
    names = [name for name in _FIRST if name in found] + sorted(name for name in found if name not in _FIRST)
    for name in names:
        value = found[name]
        if name in _APART or value is None or value in ("", []) or (_is_link(name) and web_link(value)):
            continue
        if name == "expected_last" and value == found.get("expected"):
            continue
        yield _label(name), _value(name, value, timezone)


def _cause(found: Mapping[str, Any]) -> str:
    return one_line(_text(found.get("cause")), MAX_CAUSE)


def _task_line(task: Mapping[str, Any]) -> str:
    tried = f", attempt {_attempt(task)}" if task.get("attempt") is not None else ""
    error = one_line(_headline(task), 200)
    return f"also failed: {_task_name(task)}{tried}{': ' + error if error else ''}"


def _task_name(task: Mapping[str, Any]) -> str:
    index = f"[{task['map_index']}]" if task.get("map_index") is not None else ""
    return one_line(f"{_text(task.get('task'))}{index}", 120)


def _attempt(found: Mapping[str, Any]) -> str:
    of = f" of {_plain(found['max_attempts'])}" if found.get("max_attempts") is not None else ""
    return one_line(f"{_plain(found['attempt'])}{of}", MAX_VALUE)


def _label(name: str) -> str:
    words = _LABELS.get(name) or one_line(name.removesuffix("_s").replace("_", " "), 60)
    return words[:1].upper() + words[1:]


def _value(name: str, value: Any, timezone: str | None) -> str:
    if name.endswith("_s") and isinstance(value, int | float) and not isinstance(value, bool):
        return spoken(float(value))
    when = _moment(value)
    if when is not None:
        return moment(when, timezone)
    if isinstance(value, Mapping) and "state" in value:
        return one_line(_run(cast("Mapping[str, Any]", value), timezone), MAX_VALUE)
    return one_line(_told(value, timezone), MAX_VALUE)


def _run(run: Mapping[str, Any], timezone: str | None) -> str:
    """`scheduled__2026-03-02T07:00:00+00:00 succeeded, started 2026-03-02 07:00:04 UTC`."""
    name = _text(run.get("native_run_id")) or _text(run.get("run_id"))
    started = _moment(run.get("started_at"))
    return f"{name} {_text(run['state'])}".strip() + (f", started {moment(started, timezone)}" if started else "")


def _told(value: Any, timezone: str | None) -> str:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value)
        return _text(pairs.get("summary")) or ", ".join(_pairs(pairs, timezone))
    if isinstance(value, list | tuple):
        return ", ".join(_told(item, timezone) for item in _list(value))
    when = _moment(value)
    return moment(when, timezone) if when else _plain(value)


def _pairs(pairs: Mapping[str, Any], timezone: str | None) -> Iterator[str]:
    """Without ids of runs, which have a link, and without seconds that are told in words beside them."""
    for name, value in pairs.items():
        if value is None or name.endswith("run_id") or name.removesuffix("_s") in pairs.keys() - {name}:
            continue
        yield f"{_label(name).lower()}: {_told(value, timezone)}"


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _error(found: Mapping[str, Any]) -> str:
    head, stack = clean(_headline(found)).strip(), _text(found.get("stack"))
    log = "\n".join(map(_text, _list(found.get("log_tail")))) or _text(found.get("log_tail"))
    rest = [last_lines(clean(text), ERROR_LINES, ERROR_CHARS) for text in (stack, log) if text.strip()]
    if head and rest and head in rest[0]:
        head = ""  # the trace ends in the message: say it once
    return "\n\n".join(part for part in (shorten(head, ERROR_CHARS), *rest) if part)


def _headline(found: Mapping[str, Any]) -> str:
    """`ValueError: boom`; the type once, also where the message already begins with it."""
    kind, message = _text(found.get("error_type")), _text(found.get("error"))
    return f"{kind}: {message}" if kind and message and not message.startswith(kind) else message or kind


def _links(found: Mapping[str, Any]) -> Iterator[Link]:
    seen: set[str] = set()
    for name in sorted(found, key=lambda name: (name not in _LINKS, name)):
        url = web_link(found[name]) if _is_link(name) else ""
        if url and url not in seen:
            seen.add(url)
            yield Link(_LINKS.get(name) or _label(name.removesuffix("_url")), url)


def _is_link(name: str) -> bool:
    return name == "url" or name.endswith("_url")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | datetime)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str) and _MOMENT.match(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


def _list(value: Any) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []


def _zone(timezone: str | None) -> ZoneInfo | None:
    if not timezone or timezone in ("UTC", "Etc/UTC"):
        return None
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
