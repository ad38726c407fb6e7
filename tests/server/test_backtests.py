"""Backtests that were kept: by the API and on pages, of all pipelines and for whoever may see all of them."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.server.site import Answer, Site, running
from tests.server.test_api import Judge
from watchtower.clock import ManualClock
from watchtower.model.access import Role, Scope
from watchtower.model.backtest import (
    BacktestReport,
    Compared,
    FiredAlert,
    Judged,
    KnownIncident,
    Message,
    MovedAlert,
    OfRule,
    Score,
    Week,
)
from watchtower.store import backtests
from watchtower.store.database import Database

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
ENDS = BEGINS + timedelta(days=14)


@pytest.fixture
def site(database: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    with running(database, tmp_path, clock) as found:
        yield found


def alert(
    day: int, pipeline: str = "orders", severity: str = "page", told: tuple[str, ...] = ("on-call",)
) -> FiredAlert:
    at = BEGINS + timedelta(days=day)
    return FiredAlert(
        starts_at=at,
        ends_at=at + timedelta(hours=2),
        state="resolved",
        severity=severity,
        rule="Failed",
        fingerprint=f"{day:016x}",
        labels={"alertname": "Failed", "pipeline": pipeline},
        value=None,
        summary=f"{pipeline} failed <on day {day}>.",
        told=list(told),
    )


def report(**changes: Any) -> BacktestReport:
    """Two weeks with three alerts, of which two page."""
    alerts = [alert(1), alert(4, "billing", "ticket", ()), alert(9)]
    given: dict[str, Any] = {
        "begins": BEGINS,
        "ends": ENDS,
        "events": 1_200,
        "unread": [],
        "weeks": [Week(BEGINS.date(), 2, 1, 1), Week((BEGINS + timedelta(days=7)).date(), 1, 1, 1)],
        "rules": [OfRule("Failed", "page", 3, 2, 2, 21_600.0)],
        "alerts": alerts,
        "messages": [Message(alerts[0].starts_at, "on-call", "local", "first", True, False, ["x"])],
    }
    return BacktestReport(**{**given, **changes})


def keep(site: Site, said: BacktestReport, token: str = "admin", **names: str) -> Answer:
    answer = site.request(
        "POST", "/api/v1/backtests", token=token, json_body={"report": msgspec.to_builtins(said), **names}
    )
    Judge(site).check("POST", "/api/v1/backtests", answer)
    return answer


def ask(site: Site, ident: str = "", **options: Any) -> Any:
    answer = site.get(f"/api/v1/backtests{ident}", **options)
    Judge(site).check("GET", f"/api/v1/backtests{'/{id}' if ident else ''}", answer)
    return answer.json()


def test_what_was_kept_is_listed_in_numbers_and_found_whole(site: Site, clock: ManualClock) -> None:
    first = keep(site, report()).json()
    clock.advance(60)
    second = keep(site, report(events=7), rules="tried.yaml").json()
    assert [item["id"] for item in ask(site)["items"]] == [second["id"], first["id"]]
    said = ask(site)["items"][0]
    assert (said["rules"], said["against"], said["made_by"]) == ("tried.yaml", None, second["made_by"])
    assert (said["summary"]["alerts"], said["summary"]["pages"], said["summary"]["pages_a_week"]) == (3, 2, 1.0)
    whole = ask(site, f"/{first['id']}")
    assert whole["backtest"] == first
    assert msgspec.convert(whole["report"], BacktestReport) == report()
    assert site.get("/api/v1/backtests/nothing").status == 404


def test_a_page_shows_what_would_have_fired_and_whom_it_would_have_told(site: Site) -> None:
    judged = Judged(
        Score(3, 2, 2, 1, 60.0, 2 / 3, 0.5),
        Score(2, 2, 2, 1, 60.0, 1.0, 0.5),
        [KnownIncident("stock was not counted", {"dataset": "stock"}, BEGINS, ENDS)],
        [alert(4, "billing", "ticket")],
    )
    moved = MovedAlert(**msgspec.structs.asdict(alert(9)), begins_later_s=300.0, ends_later_s=None)
    against = Compared(1, [alert(1)], [], [moved])
    ident = keep(site, report(judged=judged, against=against), rules="tried.yaml", against="now.yaml").json()["id"]
    listed = site.get("/backtests").body.decode()
    assert f'href="/backtests/{ident}"' in listed
    assert "against now.yaml: 1 the same, 1 moved, 1 only here, 0 only there" in listed
    page = site.get(f"/backtests/{ident}").body.decode()
    for said in (
        "3 alerts, 2 pages",
        "2 alerts; told: on-call of 2",
        "1 alert; told: nobody",
        "stock was not counted",
        "50%: 1 of 2 incidents caught",
        "5 min later",
        "orders failed &lt;on day 1&gt;.",
    ):
        assert said in page, said
    assert site.get("/backtests/nothing").status == 404


def test_without_any_the_page_says_how_one_is_made(site: Site) -> None:
    assert "watchtower backtest --rules tried.yaml --keep" in site.get("/backtests").body.decode()


def test_they_are_of_all_pipelines_and_so_of_no_team(site: Site) -> None:
    ident = keep(site, report()).json()["id"]
    of_team = site.new_token([Scope.READ], team="finance")
    assert ask(site, token=of_team)["items"] == []
    page = site.get("/backtests", token=of_team).body.decode()
    assert "it is shown to those who see all of them. You see those of finance." in page
    assert "None is kept yet" not in page
    assert site.get(f"/api/v1/backtests/{ident}", token=of_team).status == 404
    assert site.get(f"/backtests/{ident}", token=of_team).status == 404
    assert keep(site, report(), token=site.new_token([Scope.ADMIN], team="finance")).status == 403


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.RESPONDER, 403), (Role.EDITOR, 200)])
def test_who_may_change_rules_may_keep_one(site: Site, role: Role, status: int) -> None:
    cookie = site.sign_in(role)
    answer = site.request(
        "POST",
        "/api/v1/backtests",
        json_body={"report": msgspec.to_builtins(report())},
        headers={"Cookie": cookie, "X-CSRF-Token": site.form_token(cookie)},
    )
    assert answer.status == status, answer.body


def test_the_newest_are_kept(site: Site, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtests, "MOST", 2)
    made: list[str] = []
    for _ in range(3):
        clock.advance(1)
        made.append(keep(site, report()).json()["id"])
    assert [item["id"] for item in ask(site)["items"]] == made[:0:-1]
