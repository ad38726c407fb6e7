"""AWS Lambda: figures of functions by the minute from CloudWatch, and invocations as runs from their logs.

Lambda has no list of invocations. Its metrics count them, what failed and what was throttled, and become series of the
function; the REPORT line at each invocation's end makes a run of it, for the functions that are named. Sources: AWS
Lambda developer guide, "Types of metrics for Lambda functions", "Viewing CloudWatch logs", "Lambda telemetry"
(platform.report); Amazon CloudWatch API reference, "GetMetricData".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final, cast

import msgspec
from pydantic import Field

from collectors.asking import Row, an_object, chunks, member, members, record
from collectors.aws.source import Ask, AwsPoller, AwsSource, AwsSourceOf, instant, pages
from collectors.aws.tags import owner_of, tags_of
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.texts import NAME_CHARS, cut, said
from watchtower.config.types import PositiveDuration, Section
from watchtower.errors import Permanent, Reason
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.series import Sample, SeriesPatch, SeriesRef
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "lambda"
MINUTE: Final = timedelta(minutes=1)
# The metric, its statistic → the series, its unit. A minute that is told again only grows, as the store wants it.
METRICS: Final = (
    ("Invocations", "Sum", "lambda_invocations", "1"),
    ("Errors", "Sum", "lambda_errors", "1"),
    ("Throttles", "Sum", "lambda_throttles", "1"),
    ("Duration", "Maximum", "lambda_duration_ms", "ms"),
)
AT_ONCE: Final = 500 // len(METRICS)  # functions; GetMetricData takes 500 queries
STATES: Final[Mapping[str, RunState]] = {
    "success": RunState.SUCCEEDED,
    "error": RunState.FAILED,
    "failure": RunState.FAILED,
    "timeout": RunState.TIMED_OUT,
}
_WANTED: Final = '?REPORT ?"[ERROR]" ?"Invoke Error" ?"Task timed out" ?"platform.report"'
# What is measured of an invocation, as a line of text and as JSON calls it.
_TEXT: Final = {
    "duration": "Duration",
    "billed": "Billed Duration",
    "memory": "Max Memory Used",
    "init": "Init Duration",
}
_JSON: Final = {
    "duration": "durationMs",
    "billed": "billedDurationMs",
    "memory": "maxMemoryUsedMB",
    "init": "initDurationMs",
}
_BEFORE: Final = timedelta(minutes=1)  # an error's line stands shortly before the REPORT of its invocation
_REPORT: Final = re.compile(r"^REPORT RequestId: (\S{1,64})\s(.*)", re.DOTALL)
_FIELD: Final = re.compile(r"([A-Z][A-Za-z ]{2,30}): ([^\t\n]+)")
_PYTHON: Final = re.compile(r"^\[ERROR\] ([A-Za-z_][\w.]{0,200})(?:: (.*))?")  # a logger's own have a tab there
_TIMED_OUT: Final = re.compile(r"Task timed out after [0-9.]+ seconds")
_NODE: Final = re.compile(r"\tERROR\tInvoke Error\s+(\{.*\})", re.DOTALL)


class LambdaSource(AwsSource):
    """Functions."""

    functions: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")
    runs: tuple[str, ...] = Field(
        default=(), description="those of them whose invocations are read as runs; `*` and `?` are wildcards"
    )
    every: PositiveDuration = Field(default=300.0, description="how often it is asked; CloudWatch bills each figure")


class LambdaConfig(Section):
    """`collectors: {lambda: …}`."""

    sources: tuple[LambdaSource, ...] = Field(default=(), description="what is asked")


class PolledLambda(AwsSourceOf[LambdaSource]):
    """ports.PolledSource."""

    kind = KIND
    service = "lambda"

    def __init__(self, config: LambdaSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._metrics = Ask("cloudwatch", config, context, KIND)
        self._logs = Ask("logs", config, context, KIND)
        self._groups: dict[str, str] = {}  # log groups of the functions that are wanted

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, region=self.config.region)

    def read(self, window: Window) -> Iterator[Page]:
        if window.deep or not self._groups:
            yield self._functions()
        started = self.ask.now
        for names in chunks(sorted(self._groups), AT_ONCE):
            yield Page(tuple(self._figures(names, window)))
            started = started or self._metrics.now
        for name, group in self._groups.items():
            if any(fnmatchcase(name, pattern) for pattern in self.config.runs):
                yield from self._invocations(name, group, window)
        yield Page(mark=started or window.until)

    def _functions(self) -> Page:
        """The region's functions that are wanted, with their tags."""
        found: list[bytes] = []
        groups: dict[str, str] = {}
        for page in pages(self.ask, "list_functions", following="NextMarker"):
            for row in members(page, "Functions"):
                name = str(row["FunctionName"])
                if any(fnmatchcase(name, pattern) for pattern in self.config.functions):
                    groups[name] = str(member(row, "LoggingConfig").get("LogGroup") or f"/aws/lambda/{name}")
                    tags = self.ask("list_tags", Resource=row["FunctionArn"]).get("Tags")
                    described = {"name": name, "description": row.get("Description") or None, "tags": tags or None}
                    found.append(record(function=described))
        self._groups = groups
        return Page(tuple(found), coverage={"functions": len(groups)})

    def _figures(self, names: Sequence[str], window: Window) -> Iterator[bytes]:
        """One record for each minute of each function in which it was asked for. The minute under way waits."""
        asked = {
            f"m{at}_{number}": (name, series)
            for at, name in enumerate(names)
            for number, (_, _, series, _) in enumerate(METRICS)
        }
        queries = [_query(f"m{at}_{number}", name, number) for at, name in enumerate(names) for number in range(4)]
        since = window.since.replace(second=0, microsecond=0)
        until = window.until.replace(second=0, microsecond=0)
        if until <= since:
            return
        values: dict[tuple[str, datetime], dict[str, float]] = {}
        arguments = {"MetricDataQueries": queries, "StartTime": since, "EndTime": until}
        for page in pages(self._metrics, "get_metric_data", following="NextToken", **arguments):
            for row in members(page, "MetricDataResults"):
                name, series = asked[str(row["Id"])]
                for at, value in zip(row.get("Timestamps", ()), row.get("Values", ()), strict=True):
                    values.setdefault((name, cast("datetime", at)), {})[series] = float(value)
        for (name, at), told in sorted(values.items()):
            if any(told.values()):
                yield record(minute=at.astimezone(UTC).isoformat(), function=name, values=told)

    def _invocations(self, name: str, group: str, window: Window) -> Iterator[Page]:
        """Those that ended since the window's beginning. One that never ran has no log group."""
        since = int(window.since.timestamp() * 1000)
        asked: dict[str, Any] = {
            "logGroupName": group,
            "startTime": since - int(_BEFORE.total_seconds() * 1000),
            "filterPattern": _WANTED,
        }
        errors: dict[str, dict[str, str]] = {}  # by log stream: an environment works on one invocation at a time
        try:
            for page in pages(self._logs, "filter_log_events", **asked):
                rows = (_line(row, errors) for row in members(page, "events"))
                ended = tuple(record(invocation=row, function=name) for row in rows if row and row["at"] >= since)
                yield Page(ended)
        except Permanent as error:
            if error.reason is not Reason.NOT_FOUND and "ResourceNotFound" not in str(error):
                raise


class Lambda(AwsPoller):
    """ports.Poller."""

    kind = KIND
    Config = LambdaConfig
    polled = PolledLambda


def _query(ident: str, function: str, number: int) -> dict[str, Any]:
    metric, statistic, _, _ = METRICS[number]
    dimensions = [{"Name": "FunctionName", "Value": function}]
    named = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions}
    return {"Id": ident, "MetricStat": {"Metric": named, "Period": 60, "Stat": statistic}}


def _line(event: Row, errors: dict[str, dict[str, str]]) -> dict[str, Any] | None:
    """An invocation that ended, if the line says so; the error of one is kept until then."""
    stream, text = str(event.get("logStreamName")), str(event.get("message") or "")
    if text.startswith("{"):
        return _json_line(event, text)
    found = _REPORT.match(text)
    if found is None:
        told = _error_of(text)
        if told:
            errors[stream] = told
        return None
    fields = {name.strip(): value.strip() for name, value in _FIELD.findall(found[2])}
    error = errors.pop(stream, {})
    status = fields.get("Status") or error.get("status") or ("error" if error else "success")
    if fields.get("Error Type"):
        error = {"type": fields["Error Type"], **error}
    measured = {name: number for name, label in _TEXT.items() if (number := _number(fields.get(label))) is not None}
    return {"id": found[1], "at": event.get("timestamp"), "status": status, "error": error or None, **measured}


def _json_line(event: Row, text: str) -> dict[str, Any] | None:
    """Of a function whose logs are JSON."""
    try:
        line = an_object(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return None
    told = member(line, "record")
    if line.get("type") != "platform.report" or not isinstance(told.get("requestId"), str):
        return None
    metrics, kind = member(told, "metrics"), told.get("errorType")
    measured = {name: metrics[label] for name, label in _JSON.items() if isinstance(metrics.get(label), int | float)}
    error = {"type": kind} if kind else None
    shown = {"id": told["requestId"], "at": event.get("timestamp"), "status": told.get("status"), "error": error}
    return {**shown, **measured}


def _error_of(text: str) -> dict[str, str] | None:
    """What an unhandled exception of Python or Node, or a time-out, says of itself."""
    if found := _TIMED_OUT.search(text):
        return {"status": "timeout", "message": found[0]}
    if found := _PYTHON.match(text):
        return {"type": found[1], "message": cut((found[2] or found[1]).strip(), 1_000)}
    if found := _NODE.search(text):
        try:
            told = an_object(msgspec.json.decode(found[1]))
        except msgspec.DecodeError:
            return {"type": "Error", "message": cut(found[1], 1_000)}
        return {"type": str(told.get("errorType") or "Error"), "message": cut(str(told.get("errorMessage")), 1_000)}
    return None


def _number(text: str | None) -> float | None:
    """`3000.00 ms` → 3000.0."""
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def decode(body: bytes, received: Received, *, namespace: str, region: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("invocation"), dict):
            return _invocation_facts(member(document, "invocation"), str(document.get("function")), place, region)
        if isinstance(document.get("values"), dict):
            return _figure_facts(document, place)
        if isinstance(document.get("function"), dict):
            return [_function_fact(member(document, "function"), place)]
        return None

    return decode_documents(body, read, "an invocation or a figure of a Lambda function")


def _invocation_facts(invocation: Row, function: str, place: Place, region: str) -> Sequence[Fact] | None:
    """Lambda invokes a function again under the same request: what the last try came to is what the run came to."""
    request, state = invocation.get("id"), STATES.get(str(invocation.get("status")))
    ended = place.instant(instant(invocation.get("at")))
    if not isinstance(request, str) or state is None or ended is None:
        return None
    took = invocation.get("duration")
    told = {"billed_ms": "billed", "max_memory_mb": "memory", "init_ms": "init"}
    ref = JobRef(place.source, place.namespace, identifier(function))
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, request),
        job=ref,
        event_type=cut(str(invocation.get("status")), 32),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(request),
        started_at=_before(ended, took),
        ended_at=ended,
        error=_error(member(invocation, "error"), state) if state.is_bad else None,
        external_url=f"https://{region}.console.aws.amazon.com/lambda/home?region={region}#/functions/{function}",
        tags={name: f"{invocation[key]:g}" for name, key in told.items() if key in invocation} or None,
    )
    return [place.fact(ended, ("invocation", request, str(invocation.get("at"))), run=patch)]


def _before(ended: datetime, took: Any) -> datetime | None:
    """took: milliseconds; an invocation lasts a quarter of an hour at most."""
    if not isinstance(took, int | float) or not 0 <= took <= 3_600_000:
        return None
    try:
        return ended - timedelta(milliseconds=took)
    except OverflowError:  # it ended in the year 1
        return None


def _figure_facts(document: Document, place: Place) -> Sequence[Fact] | None:
    at = place.instant(instant(document.get("minute")))
    values, units = member(document, "values"), {series: unit for _, _, series, unit in METRICS}
    if at is None:
        return None
    job = JobRef(place.source, place.namespace, identifier(str(document.get("function"))))
    fact = place.fact(at, ("minute", job.pipeline, msgspec.json.encode(values, order="sorted").decode()))
    patches = tuple(
        SeriesPatch(
            SeriesRef(series, job), place.source, (Sample(at, float(value), historical=fact.historical),), unit=unit
        )
        for series, unit in units.items()
        if isinstance(value := values.get(series), int | float)
    )
    return [msgspec.structs.replace(fact, series=patches)]


def _function_fact(function: Row, place: Place) -> Fact:
    tags = tags_of(function.get("tags"))
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(str(function.get("name")))),
        owner=owner_of(tags),
        tags=tags or None,
        description=said(str(function.get("description") or "")),
        job_type="FUNCTION",
        integration="LAMBDA",
    )
    return place.definition("function", jobs=(patch,))


def _error(error: Row, state: RunState) -> RunError:
    kind, message = str(error.get("type") or ""), str(error.get("message") or "")
    known = "the function's time-out ended it" if state is RunState.TIMED_OUT else "its log says no more"
    return RunError(message or kind or known, cut(kind, NAME_CHARS))
