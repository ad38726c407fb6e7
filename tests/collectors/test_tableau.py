"""Refreshes of Tableau's extracts, after its published REST API; the service itself was never reached."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.tableau import PolledTableau, TableauConfig
from tests.app.polls import context
from tests.collectors.folding import assert_orderless, line
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
ORDERS = {"namespace": "postgres://warehouse:5432", "name": "shop.public.orders"}


def at(minute: float) -> str:
    return (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(ident: str, name: str, minutes: tuple[float, ...], finish: str = "0", **more: Any) -> dict[str, Any]:
    """Numbers are texts, as Tableau has them."""
    times = dict(zip(("createdAt", "startedAt", "completedAt"), map(at, minutes), strict=False))
    of: dict[str, Any] = {"workbook": {"id": f"w-{name}", "name": name}, **more}
    ended = {"finishCode": finish, "progress": "100"} if len(minutes) == 3 else {"progress": "20"}
    return {"id": ident, "mode": "Asynchronous", "type": "RefreshExtract", **times, **ended, "extractRefreshJob": of}


class Site(HttpSimulator):
    """One site; sessions that it gave last are the only ones it takes."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.sessions: list[str] = []
        super().__init__(NOW)

    def changes_something(self, request: Recorded) -> bool:
        return not request.path.endswith("/auth/signin")

    def answer(self, request: Recorded) -> Reply:
        path = request.path.removeprefix("/api/3.19/")
        if path == "auth/signin":
            return self._sign_in(request.json["credentials"])
        if request.headers.get("x-tableau-auth") not in self.sessions[-1:]:
            return _error(401, "401002", "Invalid authentication credentials were provided.")
        path = path.removeprefix("sites/s-1/jobs").lstrip("/")
        if path:
            found = [each for each in self.jobs if each["id"] == path]
            return Reply.of_json({"job": found[0]}) if found else _error(404, "404031", "Job not found")
        since = request.query["filter"].partition(",")[0].removeprefix("createdAt:gte:")
        rows = [
            {"id": each["id"], "createdAt": each["createdAt"], "jobType": "refresh_extracts"}
            for each in self.jobs
            if each["createdAt"] >= since
        ]
        size, number = int(request.query["pageSize"]), int(request.query["pageNumber"])
        pages = {"pageNumber": str(number), "pageSize": str(size), "totalAvailable": str(len(rows))}
        shown = rows[(number - 1) * size : number * size]
        return Reply.of_json({"pagination": pages, "backgroundJobs": {"backgroundJob": shown} if shown else {}})

    def _sign_in(self, who: dict[str, Any]) -> Reply:
        told = who["personalAccessTokenName"], who["personalAccessTokenSecret"], who.get("site")
        if told != ("watchtower", "right", {"contentUrl": "shop"}):
            return _error(401, "401001", "The personal access token you provided is invalid.")
        self.sessions.append(f"session-{len(self.sessions)}")
        given = {"site": {"id": "s-1", "contentUrl": "shop"}, "user": {"id": "u-1"}, "token": self.sessions[-1]}
        return Reply.of_json({"credentials": given})


def _error(status: int, code: str, detail: str) -> Reply:
    return Reply.of_json({"error": {"summary": "Error", "detail": detail, "code": code}}, status)


@pytest.fixture
def site() -> Generator[Site]:
    with Site() as simulator:
        yield simulator


def polled(site: Site, **options: Any) -> PolledTableau:
    who = {"site": "shop", "token_name": "watchtower", "token": "right"}
    given = {"name": "bi", "base_url": site.url, **who, **options}
    (source,) = TableauConfig.model_validate({"sources": [given]}).sources
    return PolledTableau(source, context(ManualClock(NOW)))


def window(cursor: str | None = None, minutes: float = 60.0) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor)


def decoded(source: PolledTableau, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        found = source.decode(record, Received(NOW, "bi"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def test_refreshes_are_runs_that_read_what_the_configuration_says(site: Site) -> None:
    site.jobs = [
        job("j-0", "Orders", (-500, -499, -490)),
        job("j-1", "Orders", (-30, -29, -20), "1", notes="com.tableau.nativeapi: relation orders does not exist"),
        job("j-2", "Customers", (-9, -8, -7), workbook={}, datasource={"id": "d-1", "name": "Customers"}),
        job("j-3", "Orders", (-3,)),
    ]
    source = polled(site, reads=[{"job": "workbook/*", "datasets": [ORDERS]}])
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    assert [line(fact) for fact in facts] == [
        "workbook/Orders FAILED=failed queued=2026-11-30 09:00:00+00:00 started=2026-11-30 09:01:00+00:00 "
        "ended=2026-11-30 09:10:00+00:00 error=: com.tableau.nativeapi: relation orders does not exist (0 of stack) "
        "wrote=[('workbook/Orders', None)] read=['shop.public.orders']",
        "datasource/Customers SUCCEEDED=succeeded queued=2026-11-30 09:21:00+00:00 "
        "started=2026-11-30 09:22:00+00:00 ended=2026-11-30 09:23:00+00:00 wrote=[('datasource/Customers', None)]",
        "workbook/Orders QUEUED=queued queued=2026-11-30 09:27:00+00:00 "
        "wrote=[('workbook/Orders', None)] read=['shop.public.orders']",
    ]
    assert pages[-1].cursor == '["j-3"]'
    assert_orderless(facts)


def test_a_refresh_is_followed_until_it_has_ended_and_then_not_asked_for_again(site: Site) -> None:
    site.jobs = [job("j-1", "Orders", (-30, -29))]
    source = polled(site)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    site.jobs = [job("j-1", "Orders", (-30, -29, -1), "2")]
    pages = list(source.read(window(pages[-1].cursor, minutes=1)))
    facts += decoded(source, pages)
    assert [fact.run.state for fact in facts if fact.run] == [RunState.RUNNING, RunState.CANCELLED]
    assert pages[-1].cursor == "[]"
    assert_orderless(facts)
    asked = len(site.requests)
    list(source.read(window()))
    assert len(site.requests) == asked + 1  # the list alone
    assert list(source.read(window('["gone"]')))[-1].cursor == "[]"


def test_all_pages_are_read(site: Site) -> None:
    site.jobs = [job(f"j-{number}", "Orders", (-30, -29, -20)) for number in range(150)]
    source = polled(site)
    assert len(decoded(source, list(source.read(window())))) == 150


def test_a_session_that_ended_is_begun_anew(site: Site) -> None:
    site.jobs = [job("j-1", "Orders", (-30, -29, -20))]
    source = polled(site)
    list(source.read(window()))
    site.sessions.append("of somebody else")
    assert decoded(source, list(source.read(window())))
    assert len(site.sessions) == 3


def test_what_goes_wrong_names_the_source(site: Site) -> None:
    with pytest.raises(Permanent, match=r"tableau source 'bi': sign in.*access token has expired"):
        list(polled(site, token="wrong").read(window()))
    for fault, expected in (
        (Fault.RATE_LIMITED_SECONDS, "HTTP 429"),
        (Fault.BAD_GATEWAY, "HTTP 502"),
        (Fault.INVALID_JSON, "not as expected"),
        (Fault.EMPTY_200, "not as expected"),
    ):
        site.fail_next(fault)
        with pytest.raises(Transient, match=f"tableau source 'bi'.*{expected}"):
            list(polled(site).read(window()))
