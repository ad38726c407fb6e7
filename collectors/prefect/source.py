"""One Prefect server as a source that is asked: what a poll reads, and in which order.

Open runs first: if one of them ends while they are read, it is among those that ended.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final

from collectors.asking import JsonApi, Row, chunks
from collectors.prefect.api import FLOWS_AT_ONCE, PrefectApi, late_pools, settled
from collectors.prefect.config import PrefectConfig, PrefectSource
from collectors.prefect.decode import KIND, SOURCE, decode_of
from collectors.prefect.events import ASSET
from collectors.remembered import forget_oldest
from collectors.slices import slices
from collectors.source import PollerOf, SourceOf
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Decoded, PollContext, Received

REMEDY: Final = "renew `api_key` (Prefect Cloud) or `password` (a server of your own)"
SETTLED_S: Final = 60.0  # within which a server writes down what tasks and logs it was sent
DEPLOYMENTS_EVERY: Final = timedelta(minutes=5)
MOST_SETTLED: Final = 50_000


class PolledPrefect(SourceOf[PrefectSource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: PrefectSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._api = PrefectApi(JsonApi(context, config.base_url, self.what, config.headers, REMEDY))
        self._known: dict[str, str] = {}  # runs that ended and were read whole, with the id of their last state
        self._deployments_at: datetime | None = None

    def read(self, window: Window) -> Iterator[Page]:
        started: datetime | None = None
        late: list[Row] = []
        if self._deployments_at is None or window.deep or window.until - self._deployments_at >= DEPLOYMENTS_EVERY:
            documents = tuple(self._api.deployments())
            started = self._api.now
            yield Page(documents, coverage={"deployments": len(documents)})
            self._deployments_at = window.until
        for rows in self._api.open():
            started = started or self._api.now
            late += [row for row in rows if row.get("state_name") == "Late"]
            yield from self._pages(rows)
        started = started or self._api.now
        for since, until in slices(window, started):
            for rows in self._api.ended(since, until):
                yield from self._ended(rows)
            for events in self._api.events(ASSET, since, until or window.until + timedelta(days=1)):
                yield Page(tuple(events))
            if until is not None:
                yield Page(mark=until)
        yield Page(mark=started or window.until, problems=_problems(late))

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode_of(self.config, record, received)

    def _pages(self, rows: Sequence[Row]) -> Iterator[Page]:
        """A few runs with all their tasks at a time."""
        for some in chunks(rows, FLOWS_AT_ONCE):
            yield Page(tuple(self._api.documents(some)))

    def _ended(self, rows: Sequence[Row]) -> Iterator[Page]:
        """What was read whole once is not asked for again, until it is run again."""
        new = [row for row in rows if self._known.get(str(row.get("id"))) != row.get("state_id")]
        if not new:
            return
        yield from self._pages(new)
        for row in new:
            if settled(row, self._api.now, SETTLED_S):
                self._known[str(row.get("id"))] = str(row.get("state_id"))
        forget_oldest(self._known, MOST_SETTLED)


class Prefect(PollerOf):
    """Asks servers, and takes the events that automations post: ports.Poller and ports.Collector in one."""

    kind = KIND
    Config = PrefectConfig
    polled = PolledPrefect
    of_token: ClassVar[bool] = True

    def decode(self, body: bytes, received: Received) -> Decoded:
        by_name = {source.name: source for source in self.config.sources}
        return decode_of(by_name.get(received.source or SOURCE), body, received)


def _problems(late: Sequence[Row]) -> tuple[Problem, ...]:
    """Runs that nobody takes are the sign of a work pool without a worker."""
    return tuple(
        Problem(
            f"late:{pool}",
            f"{count} scheduled run{'s' if count > 1 else ''} {'wait' if count > 1 else 'waits'} for a worker"
            + (f" of work pool {pool!r}" if pool else " or a process that serves the deployment"),
        )
        for pool, count in sorted(late_pools(late).items())
    )
