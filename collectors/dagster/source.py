"""One Dagster as a source that is asked: what a poll reads, and in which order."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collectors.asking import JsonApi, Row, member
from collectors.dagster.api import OPEN, DagsterApi
from collectors.dagster.config import DagsterConfig, DagsterSource
from collectors.dagster.decode import KIND, decode
from collectors.remembered import forget_oldest
from collectors.slices import slices
from collectors.source import PollerOf, SourceOf
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Decoded, PollContext, Received

REMEDY: Final = "renew `api_token` (Dagster+)"
MOST_KNOWN: Final = 50_000
DEFINITIONS_EVERY: Final = timedelta(minutes=5)
MOMENT_S: Final = 1.0  # by which a slice reaches over its end, which Dagster leaves out as it does the beginning


class PolledDagster(SourceOf[DagsterSource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: DagsterSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._api = DagsterApi(JsonApi(context, config.base_url, self.what, config.headers, REMEDY))
        self._defined_at: datetime | None = None
        self._known: dict[str, Any] = {}  # runs that ended and were read whole, with when they last changed

    def read(self, window: Window) -> Iterator[Page]:
        if self._defined_at is None or window.deep or window.until - self._defined_at >= DEFINITIONS_EVERY:
            documents = tuple(self._api.definitions())
            yield Page(documents, coverage={"jobs": sum(each.startswith(b'{"job"') for each in documents)})
            self._defined_at = window.until
        due, faults = self._api.ticks()
        started = self._api.now
        yield from self._runs(self._api.runs(statuses=list(OPEN)), due)
        for since, until in slices(window, started):
            end = {"updatedBefore": until.timestamp() + MOMENT_S} if until else {}
            yield from self._runs(self._api.runs(updatedAfter=since.timestamp(), **end), due)
            if until is not None:
                yield Page(mark=until)
        yield Page(mark=started or window.until, problems=tuple(self._problems(faults)))

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, url=self.config.base_url)

    def _runs(self, pages: Iterator[Sequence[Row]], due: dict[str, float]) -> Iterator[Page]:
        for rows in pages:
            new = [row for row in rows if self._known.get(str(row.get("runId"))) != row.get("updateTime")]
            if not new:
                continue
            yield Page(tuple(self._api.documents(new, due)))
            self._remember(row for row in new if row.get("status") not in OPEN)

    def _remember(self, rows: Iterator[Row]) -> None:
        self._known.update((str(row.get("runId")), row.get("updateTime")) for row in rows)
        forget_oldest(self._known, MOST_KNOWN)

    def _problems(self, faults: Sequence[str]) -> Iterator[Problem]:
        daemons, locations = self._api.health()
        for daemon in daemons:
            beat = daemon.get("lastHeartbeatTime")
            since = datetime.fromtimestamp(beat, UTC) if isinstance(beat, float) else None
            heard = f"has not been heard since {since:%Y-%m-%d %H:%M} UTC" if since else "was never heard"
            yield Problem(f"daemon:{daemon.get('daemonType')}", f"Dagster's daemon {daemon.get('daemonType')} {heard}")
        for location in locations:
            why = str(member(location, "locationOrLoadError").get("message")).strip().splitlines()
            name = location.get("name")
            yield Problem(f"location:{name}", f"the code location {name} cannot be loaded: {(why or [''])[-1][:300]}")
        for fault in faults:
            yield Problem(f"tick:{fault.partition(':')[0]}", f"the last tick failed of {fault[:400]}")


class Dagster(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = DagsterConfig
    polled = PolledDagster
