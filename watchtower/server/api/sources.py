"""Sources: what is asked, what sends by itself, how far each is known, and what is wrong with it."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from watchtower.model.sender import Sender, longest_silence_s, sender_id
from watchtower.model.source import Source
from watchtower.server.endpoints import Call
from watchtower.store import senders, sources
from watchtower.store.database import Connection
from watchtower.store.sources import Heard


class ProblemItem(msgspec.Struct, frozen=True):
    """What a source says is wrong with itself."""

    key: str
    summary: str
    since: datetime | None


class SourceItem(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is asked (polled), or one that only sends. state: ok, waiting (not asked yet), failing, troubled
    (it says that something is wrong with itself), or silent (it sends, or is to, and an alert says that it does not).

    kind: of the poller; null for one that sends. read_up_to: everything before it is known, by the source's clock.
    last_event: of the newest word on any of its runs. lag_s: since the last whole poll; of one that sends, how long its
    newest word was on its way. pushes: it is asked, and the configuration says that it sends events, too. last_push:
    when the newest event of its namespace came; null for none in the 90 days for which that is kept.
    longest_silence_s: of one that sends, in four weeks. error_rate: share of failures among the last 60 polls. records:
    that the last whole poll read, in seconds. pipelines: that are known of it. coverage: what it says it has; of one
    that sends, how many of its pipelines were heard of within seven days."""

    name: str
    kind: str | None
    namespace: str
    polled: bool
    state: str
    every_s: float | None
    team: str | None
    read_up_to: datetime | None
    last_poll: datetime | None
    last_success: datetime | None
    last_event: datetime | None
    lag_s: float | None
    pushes: bool
    last_push: datetime | None
    longest_silence_s: float | None
    failures: int
    failing_since: datetime | None
    error: str | None
    retry_at: datetime | None
    error_rate: float | None
    records: int
    seconds: float | None
    pipelines: int
    coverage: dict[str, int]
    problems: list[ProblemItem]


class SourceList(msgspec.Struct, frozen=True):
    """By name; those that are asked first."""

    items: list[SourceItem]


def list_sources(call: Call) -> SourceList:
    return call.read(lambda connection: _listed(connection, call.principal.team, call.now))


def _listed(connection: Connection, team: str | None, now: datetime) -> SourceList:
    polled = sources.by_name(connection, team=team)
    heard = sources.heard(connection, now, team=team)
    namespaces = {each.namespace for each in polled.values()}
    told = senders.by_id(connection)
    silent = senders.silent(connection, [*told, *polled])
    items = [polled_item(each, heard, told.values(), now, silent=each.name in silent) for each in polled.values()]
    for each in heard:
        if each.namespace not in namespaces:
            ident = sender_id(each.source, each.namespace)
            items.append(_sending_item(each, told.get(ident), silent=ident in silent))
    return SourceList(items=items)


def polled_item(
    source: Source, heard: Sequence[Heard], told: Collection[Sender], now: datetime, *, silent: bool
) -> SourceItem:
    mine = [each for each in heard if each.namespace == source.namespace]
    seen = [each.last_seen for each in mine if each.last_seen is not None]
    return SourceItem(
        name=source.name,
        kind=source.kind,
        namespace=source.namespace,
        polled=True,
        state="silent" if silent and source.pushes and not source.failures else state_of(source),
        every_s=source.every_s,
        team=source.team,
        read_up_to=source.mark,
        last_poll=source.last_poll,
        last_success=source.last_success,
        last_event=max((*seen, *([source.last_event] if source.last_event else [])), default=None),
        lag_s=source.lag_s(now),
        pushes=source.pushes,
        last_push=max((each.last_event for each in told if each.namespace == source.namespace), default=None),
        longest_silence_s=None,
        failures=source.failures,
        failing_since=source.failing_since,
        error=source.error,
        retry_at=source.retry_at,
        error_rate=source.error_rate,
        records=source.records,
        seconds=source.seconds,
        pipelines=sum(each.pipelines for each in mine),
        coverage=dict(source.coverage),
        problems=[ProblemItem(each.key, each.summary, each.since) for each in source.problems],
    )


def state_of(source: Source) -> str:
    if source.failures:
        return "failing"
    if source.last_success is None:
        return "waiting"
    return "troubled" if source.problems else "ok"


def _sending_item(heard: Heard, sender: Sender | None, *, silent: bool) -> SourceItem:
    """sender: None where all that is known of it is history, or pings."""
    moments = [each for each in (heard.last_seen, sender.last_event if sender else None) if each is not None]
    return SourceItem(
        name=heard.source,
        kind=None,
        namespace=heard.namespace,
        polled=False,
        state="silent" if silent else "ok",
        every_s=None,
        team=sender.team if sender else None,
        read_up_to=None,
        last_poll=None,
        last_success=None,
        last_event=max(moments, default=None),
        lag_s=sender.lag_s if sender else None,
        pushes=False,
        last_push=sender.last_event if sender else None,
        longest_silence_s=longest_silence_s(sender.days) if sender else None,
        failures=0,
        failing_since=None,
        error=None,
        retry_at=None,
        error_rate=None,
        records=0,
        seconds=None,
        pipelines=heard.pipelines,
        coverage={"pipelines_heard_7d": heard.of_late},
        problems=[],
    )
