"""Refreshes of Power BI's models, after Microsoft's published reference; the service itself was never reached."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.azure.power_bi import PolledPowerBi, PowerBiConfig, cron_of
from tests.app.polls import context
from tests.collectors.folding import assert_orderless, line
from tests.simulators.azure import APPLICATION, EntraSimulator
from tests.simulators.faults import Fault
from tests.simulators.http import Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
ORDERS = {"namespace": "postgres://warehouse:5432", "name": "shop.public.orders"}


def at(minute: float) -> str:
    return (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def refresh(request: str, status: str, minutes: tuple[float, ...] = (-20, -10), **more: Any) -> dict[str, Any]:
    times = dict(zip(("startTime", "endTime"), map(at, minutes), strict=False))
    return {"requestId": request, "id": 1, "refreshType": "Scheduled", "status": status, **times, **more}


class Tenant(EntraSimulator):
    def __init__(self) -> None:
        self.refreshes: dict[str, list[dict[str, Any]]] = {"m-1": []}
        self.lists = {
            "groups": [{"id": "w-1", "name": "Sales"}, {"id": "w-2", "name": "Scratch"}],
            "groups/w-1/datasets": [
                {"id": "m-1", "name": "Orders", "isRefreshable": True, "configuredBy": "ada@example.com"},
                {"id": "m-2", "name": "Live", "isRefreshable": False},
            ],
            "groups/w-1/reports": [
                {"id": "r-1", "name": "Daily", "datasetId": "m-1"},
                {"id": "r-2", "name": "Board", "datasetId": "m-1"},
            ],
            "groups/w-2/datasets": [],
            "groups/w-2/reports": [],
        }
        super().__init__(NOW)

    def asked(self, request: Recorded) -> Reply:
        path = request.path.removeprefix("/v1.0/myorg/")
        if path.endswith("/refreshSchedule"):
            days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
            told = {"days": days, "times": ["06:30", "18:30"], "enabled": True, "localTimeZoneId": "UTC"}
            return Reply.of_json(told)
        if path.endswith("/refreshes"):
            model = path.split("/")[3]
            if model not in self.refreshes:
                return Reply.of_json({"error": {"code": "ItemNotFound"}}, 404)
            return Reply.of_json({"value": self.refreshes[model][: int(request.query["$top"])]})
        return Reply.of_json({"value": self.lists[path]})


@pytest.fixture
def tenant() -> Generator[Tenant]:
    with Tenant() as simulator:
        yield simulator


def polled(tenant: Tenant, **options: Any) -> PolledPowerBi:
    given = {"name": "bi", "base_url": tenant.url, "login_url": tenant.url, **APPLICATION, **options}
    (source,) = PowerBiConfig.model_validate({"sources": [given]}).sources
    return PolledPowerBi(source, context(ManualClock(NOW)))


def window(cursor: str | None = None, minutes: float = 60.0, *, deep: bool = True) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor, deep=deep)


def decoded(source: PolledPowerBi, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        found = source.decode(record, Received(NOW, "bi"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: list[Fact]) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run]


FAILURE = '{"errorCode":"ModelRefreshFailed_CredentialsNotSpecified","errorDescription":"no credentials"}'


def test_refreshes_are_runs_that_read_what_the_configuration_says(tenant: Tenant) -> None:
    tenant.refreshes["m-1"] = [
        refresh("q-3", "Unknown", (-2,), refreshType="ViaEnhancedApi"),
        refresh("q-2", "Failed", serviceExceptionJson=FAILURE, refreshAttempts=[{"attemptId": 1}, {"attemptId": 2}]),
        refresh("q-1", "Completed", (-50, -40), refreshType="OnDemand"),
        refresh("q-0", "Completed", (-500, -490)),
    ]
    source = polled(tenant, reads=[{"job": "Sales/*", "datasets": [ORDERS, ORDERS]}])
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    assert [line(fact) for fact in facts if fact.run] == [
        "Sales/Orders Unknown=running trigger=event started=2026-11-30 09:28:00+00:00 "
        "wrote=[('Sales/Orders', None)] read=['shop.public.orders']",
        "Sales/Orders Failed=failed attempt=2/None trigger=schedule started=2026-11-30 09:10:00+00:00 "
        "ended=2026-11-30 09:20:00+00:00 error=ModelRefreshFailed_CredentialsNotSpecified: no credentials "
        "(0 of stack) wrote=[('Sales/Orders', None)] read=['shop.public.orders']",
        "Sales/Orders Completed=succeeded trigger=manual started=2026-11-30 08:40:00+00:00 "
        "ended=2026-11-30 08:50:00+00:00 wrote=[('Sales/Orders', None)] read=['shop.public.orders']",
    ]
    (job,) = [job for fact in facts for job in fact.jobs]
    assert (job.schedule, job.timezone, job.owner) == ("30 6,18 * * 1,2,3,4,5", "UTC", "ada@example.com")
    assert job.description == "shown by Board, Daily"
    assert pages[-1].cursor == '["w-1/m-1/q-3"]'
    coverage = next(page.coverage for page in pages if page.coverage)
    assert coverage == {"workspaces": 2, "models": 1}
    assert_orderless(facts)


def test_a_refresh_is_followed_until_it_has_ended(tenant: Tenant) -> None:
    tenant.refreshes["m-1"] = [refresh("q-1", "Unknown", (-30,))]
    source = polled(tenant, workspaces=["Sales"])
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    tenant.refreshes["m-1"] = [refresh("q-1", "Cancelled", (-30, -1))]
    pages = list(source.read(window(pages[-1].cursor, minutes=1, deep=False)))
    facts += decoded(source, pages)
    assert [run.state for run in runs(facts)] == [RunState.RUNNING, RunState.CANCELLED]
    assert pages[-1].cursor == "[]"
    assert_orderless(facts)
    del tenant.refreshes["m-1"]  # deleted meanwhile
    assert list(source.read(window('["w-1/m-1/q-1"]', deep=False)))[-1].cursor == "[]"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"days": ["Sunday"], "times": ["07:00"], "localTimeZoneId": "UTC"}, ("0 7 * * 0", "UTC")),
        ({"days": [], "times": ["07:05", "19:05"]}, ("5 7,19 * * *", "UTC")),
        ({"days": ["Sunday"], "times": ["07:00", "07:30"]}, None),
        (
            {"days": ["Sunday"], "times": ["07:00"], "localTimeZoneId": "W. Europe Standard Time"},
            ("0 7 * * 0", "Europe/Berlin"),
        ),
        ({"days": ["Sunday"], "times": ["07:00"], "localTimeZoneId": "Middle-earth Standard Time"}, None),
        ({"days": ["Sunday"], "times": []}, None),
        ({"times": ["x"]}, None),
    ],
)
def test_schedules_as_power_bi_writes_them(schedule: dict[str, Any], expected: tuple[str, str] | None) -> None:
    assert cron_of(schedule) == expected


def test_what_goes_wrong_names_the_source(tenant: Tenant) -> None:
    with pytest.raises(Permanent, match=r"power_bi source 'bi': log in to Microsoft Entra ID"):
        list(polled(tenant, client_secret="wrong").read(window()))
    for fault, expected in (
        (Fault.RATE_LIMITED_SECONDS, "HTTP 429"),
        (Fault.UNAVAILABLE, "HTTP 503"),
        (Fault.BAD_GATEWAY, "HTTP 502"),
        (Fault.EMPTY_200, "not as expected"),
    ):
        tenant.fail_next(fault)
        with pytest.raises(Transient, match=f"power_bi source 'bi'.*{expected}"):
            list(polled(tenant).read(window()))
