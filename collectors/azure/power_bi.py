"""Power BI: refreshes of semantic models as runs, so that a late table is seen to end at the reports people look at.

The history of a model's refreshes is given newest first, a model at a time. Which tables a model reads its API does not
tell, so the configuration does (`reads`). Sources: Power BI REST API, "Datasets - Get Refresh History In Group", "Get
Refresh Schedule In Group", "Reports - Get Reports In Group".
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec
from pydantic import Field

from collectors.asking import JsonApi, Row, an_object, kept, member, members, record, required
from collectors.azure.recurrence import zone_of
from collectors.azure.token import REMEDY, AzureConfig, Tokens
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import NAME_CHARS, cut, said
from collectors.polled import unless_gone
from collectors.reads import Reads, datasets_read
from collectors.source import ListedSource, PollerOf, Seen
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.errors import Permanent, Reason
from watchtower.model.fact import Fact
from watchtower.model.run import (
    Authority,
    DatasetIO,
    DatasetRef,
    JobPatch,
    JobRef,
    RunError,
    RunPatch,
    RunState,
    Trigger,
)
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "power_bi"
RESOURCE: Final = "https://analysis.windows.net/powerbi/api"
DATASETS: Final = "powerbi://api.powerbi.com"  # namespace of the models themselves
REFRESHES: Final = 60  # of one model; Power BI keeps as many
STATES: Final[Mapping[str, RunState]] = {
    "Unknown": RunState.RUNNING,
    "NotStarted": RunState.QUEUED,
    "InProgress": RunState.RUNNING,
    "Completed": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "TimedOut": RunState.TIMED_OUT,
    "Cancelled": RunState.CANCELLED,
    "Disabled": RunState.SKIPPED,
}
_TRIGGERS: Final[Mapping[str, Trigger]] = {
    "Scheduled": Trigger.SCHEDULE,
    "OnDemand": Trigger.MANUAL,
    "ViaApi": Trigger.EVENT,
    "ViaEnhancedApi": Trigger.EVENT,
    "ViaXmlaEndpoint": Trigger.EVENT,
}
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_REFRESH: Final = ("requestId", "refreshType", "startTime", "endTime", "status", "serviceExceptionJson")
_MOST_SHOWN: Final = 10  # reports that a description names


class PowerBiSource(PolledConfig, AzureConfig):
    """Workspaces that the application is a member of."""

    workspaces: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")
    reads: tuple[Reads, ...] = Field(default=(), description="which datasets the models read")
    base_url: WebAddress = Field(default="https://api.powerbi.com", description="another cloud's than Power BI's own")
    every: PositiveDuration = Field(default=300.0, description="how often it is asked; one call for each model")


class PowerBiConfig(Section):
    """`collectors: {power_bi: …}`."""

    sources: tuple[PowerBiSource, ...] = Field(default=(), description="what is asked")


class PolledPowerBi(ListedSource[PowerBiSource]):
    """ports.PolledSource. References are `WORKSPACE/MODEL/REQUEST`, ids all of them."""

    kind = KIND

    def __init__(self, config: PowerBiSource, context: PollContext) -> None:
        super().__init__(config, context)
        tokens = Tokens(config, context, RESOURCE, self.what)
        self._api = JsonApi(context, config.base_url, self.what, tokens.headers, REMEDY)
        self._models: dict[str, str] = {}  # `WORKSPACE/MODEL`, by their ids → by their names

    @property
    def clock_at(self) -> datetime | None:
        return self._api.clock_at

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, reads=self.config.reads)

    def definitions(self, window: Window) -> Iterator[Page]:
        if not window.deep and self._models:
            return
        models: dict[str, str] = {}
        groups = [row for row in self._listed("groups") if self._wanted(str(row.get("name")))]
        for group in groups:
            found = [row for row in self._listed(f"groups/{_part(group)}/datasets") if row.get("isRefreshable")]
            reports = self._listed(f"groups/{_part(group)}/reports")
            models |= {f"{_part(group)}/{_part(row)}": f"{group.get('name')}/{row.get('name')}" for row in found}
            yield Page(tuple(self._model(group, row, reports) for row in found))
        self._models = models
        yield Page(coverage={"workspaces": len(groups), "models": len(models)})

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        for ids in self._models:
            rows = self._refreshes(ids)
            yield [self._seen(ids, row) for row in rows if (_at(row, "startTime") or window.since) >= window.since]

    def again(self, reference: str) -> Seen | None:
        ids, _, request = reference.rpartition("/")
        rows = self._refreshes(ids) if ids in self._models else []
        return next((self._seen(ids, row) for row in rows if row.get("requestId") == request), None)

    def _wanted(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.config.workspaces)

    def _listed(self, path: str) -> list[Row]:
        return required(self._api.get(f"v1.0/myorg/{path}"), "value", f"{self.what}: {path}")

    def _refreshes(self, ids: str) -> list[Row]:
        """None of a model that is gone, or that the application may not see the history of."""
        group, _, model = ids.partition("/")
        return unless_gone(lambda: self._listed(f"groups/{group}/datasets/{model}/refreshes?$top={REFRESHES}")) or []

    def _model(self, group: Row, model: Row, reports: Sequence[Row]) -> bytes:
        """With its schedule, which models that are fed otherwise do not have."""
        try:
            path = f"v1.0/myorg/groups/{_part(group)}/datasets/{_part(model)}/refreshSchedule"
            schedule = self._api.get(path)
        except Permanent as error:
            if error.reason is Reason.AUTH:
                raise
            schedule: Row = {}
        shown = sorted(str(each.get("name")) for each in reports if each.get("datasetId") == model.get("id"))
        return record(
            model=f"{group.get('name')}/{model.get('name')}",
            by=model.get("configuredBy"),
            reports=shown,
            schedule=kept(schedule, ("days", "times", "enabled", "localTimeZoneId")),
        )

    def _seen(self, ids: str, refresh: Row) -> Seen:
        group, _, model = ids.partition("/")
        attempts = len(members(refresh, "refreshAttempts"))
        shown = record(
            refresh=kept(refresh, _REFRESH), model=self._models[ids], ids=[group, model], tries=attempts or None
        )
        state = STATES.get(str(refresh.get("status")), RunState.RUNNING)
        return Seen(f"{ids}/{refresh.get('requestId')}", shown, not state.is_terminal)


class PowerBi(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = PowerBiConfig
    polled = PolledPowerBi
    addresses = ("base_url", "login_url")


def decode(body: bytes, received: Received, *, namespace: str, reads: Sequence[Reads] = ()) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("refresh"), dict):
            return _refresh_facts(member(document, "refresh"), document, place, reads)
        if isinstance(document.get("model"), str):
            return [_model_fact(document, place)]
        return None

    return decode_documents(body, read, "a refresh or a model of Power BI")


def _refresh_facts(refresh: Row, document: Document, place: Place, reads: Sequence[Reads]) -> Sequence[Fact] | None:
    request, status, name = refresh.get("requestId"), str(refresh.get("status")), document.get("model")
    state = STATES.get(status)
    started, ended = place.instant(_at(refresh, "startTime")), place.instant(_at(refresh, "endTime"))
    if not isinstance(request, str) or not isinstance(name, str) or state is None or started is None:
        return None
    over, ref = state.is_terminal, JobRef(place.source, place.namespace, identifier(name))
    ids, tries = document.get("ids"), document.get("tries")
    group, model = cast("list[str]", ids) if isinstance(ids, list) and len(cast("list[Any]", ids)) == 2 else ("", "")
    wrote = DatasetIO(DatasetRef(DATASETS, ref.pipeline), "out")
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, request),
        job=ref,
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        native_run_id=request,
        attempt=tries if isinstance(tries, int) and 0 < tries < 1_000 else None,
        trigger=_TRIGGERS.get(str(refresh.get("refreshType"))),
        started_at=started,
        ended_at=(ended or started) if over else None,
        error=_error(str(refresh.get("serviceExceptionJson") or "")) if state.is_bad else None,
        external_url=f"https://app.powerbi.com/groups/{group}/datasets/{model}/details" if group else None,
        datasets=(*datasets_read(reads, name), wrote),
    )
    at = (ended if over else None) or started
    return [place.fact(at, ("refresh", request, status), stands=not over, run=patch)]


def _model_fact(document: Document, place: Place) -> Fact:
    schedule = member(document, "schedule")
    enabled = schedule.get("enabled") is True
    found = cron_of(schedule) if enabled else None
    reports = document.get("reports")
    names = [str(name) for name in cast("list[Any]", reports)] if isinstance(reports, list) else []
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(str(document.get("model")))),
        owner=said(str(document.get("by") or ""), NAME_CHARS),
        description=f"shown by {', '.join(names[:_MOST_SHOWN])}{more}" if names else None,
        job_type="SEMANTIC_MODEL",
        integration="POWER_BI",
        schedule=found[0] if found else "",
        timezone=found[1] if found else None,
        paused=not enabled if "enabled" in schedule else None,
    )
    return place.definition("model", jobs=(patch,))


def cron_of(schedule: Row) -> tuple[str, str] | None:
    """Where all of its times share a minute, which a crontab can say, and in a zone that has a name of IANA's."""
    days, times = schedule.get("days"), schedule.get("times")
    clock = sorted({str(each) for each in cast("list[Any]", times)}) if isinstance(times, list) else []
    minutes, hours = {each[3:5] for each in clock}, [each[:2] for each in clock]
    zone = zone_of(str(schedule.get("localTimeZoneId") or "UTC"))
    if zone is None or len(minutes) != 1 or not all(each.isdecimal() for each in (*minutes, *hours)):
        return None
    named = cast("list[Any]", days) if isinstance(days, list) else []
    numbers = [str(number) for number, day in enumerate(_DAYS) if day in named]
    weekday = "*" if len(numbers) in (0, 7) else ",".join(numbers)
    return f"{int(minutes.pop())} {','.join(str(int(hour)) for hour in hours)} * * {weekday}", zone


def _error(text: str) -> RunError:
    """`{"errorCode": "ModelRefreshFailed_CredentialsNotSpecified", "errorDescription": …}` as text."""
    try:
        told = an_object(msgspec.json.decode(text)) if text else {}
    except msgspec.DecodeError:
        told: Row = {"errorDescription": text}
    code, message = str(told.get("errorCode") or ""), str(told.get("errorDescription") or "")
    return RunError(cut(message or code or "the refresh failed", 4_096), cut(code, NAME_CHARS))


def _part(row: Row) -> str:
    return quote(str(row.get("id")), safe="")


def _at(row: Row, name: str) -> datetime | None:
    return parse_instant(str(row.get(name) or ""))
