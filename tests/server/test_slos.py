"""SLOs over HTTP: what has least left first, in words and numbers; corrections change the budget and are audited."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.builders import ORDERS, complete, fail
from tests.config.test_slos import slo as document
from tests.server.site import Site, running
from tests.server.test_api import Judge
from tests.store.test_slos import of_runs
from watchtower.clock import ManualClock
from watchtower.config import load_text
from watchtower.model.access import Role, Scope
from watchtower.model.fact import Fact
from watchtower.model.labels import Matcher
from watchtower.model.run import JobRef
from watchtower.model.slo import Correction
from watchtower.store import facts, slos
from watchtower.store.database import Database
from watchtower.store.schema.access import audit

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BILLING = JobRef("airflow-prod", "prod", "billing")


def daily(name: str, job: JobRef, bad: set[int]) -> list[Fact]:
    """A run a day for thirty days; bad: those so many days ago."""
    return [
        (fail if ago in bad else complete)(f"{name}{ago}", NOW - ago * DAY - timedelta(minutes=1), job=job)
        for ago in range(29, -1, -1)
    ]


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Generator[Site]:
    of_billing = (Matcher("pipeline", "=", BILLING.pipeline),)
    declared = [
        of_runs("0.95"),
        of_runs("0.9", name="billing", matchers=of_billing),
        of_runs("0.9", name="quiet", matchers=(Matcher("pipeline", "=", "never"),)),
    ]
    database.write(lambda connection: slos.declare(connection, declared, NOW))
    heard = [*daily("o", ORDERS, {0, 1}), *daily("b", BILLING, {20})]
    facts.append(database, facts.Intake(heard)).result(10)
    with running(database, tmp_path, ManualClock(NOW)) as site:
        yield site


def ask(site: Site, path: str = "", template: str = "", **options: Any) -> Any:
    answer = site.get(f"/api/v1/slos{path}", **options)
    Judge(site).check("GET", f"/api/v1/slos{template}", answer)
    return answer.json()


def correct(site: Site, body: dict[str, Any], token: str = "admin", name: str = "orders") -> Any:
    answer = site.request("POST", f"/api/v1/slos/{name}/corrections", token=token, json_body=body)
    Judge(site).check("POST", "/api/v1/slos/{name}/corrections", answer)
    return answer


def test_what_has_least_left_comes_first_and_what_is_unknown_last(site: Site) -> None:
    found = ask(site)["items"]
    assert [(item["name"], item["state"]) for item in found] == [
        ("orders", "exhausted"), ("billing", "ok"), ("quiet", "waiting"),
    ]  # fmt: skip
    orders, billing, quiet = found
    assert (orders["left"], orders["consumed"]) == (0, pytest.approx(4 / 3))
    assert orders["objectives"] == [
        {"name": "", "indicator": "runs", "target": 0.95, "weight": 1, "good": 28, "bad": 2, "allowed": 1.5}
    ]
    assert orders["summary"] == (
        "orders: 2 of the newest 2 runs failed; 2 of 1.5 allowed failures used (95% over 30d)."
    )
    assert [(each["severity"], each["step"]) for each in orders["findings"]] == [
        ("page", "few_events"), ("ticket", "few_events"),
    ]  # fmt: skip
    assert billing["summary"] == "billing: 1 of 3 allowed failures used (90% over 30d); 66.7% of the budget is left."
    assert [each["factor"] for each in billing["windows"]] == [14.4, 6, 3, 1]
    assert (quiet["left"], quiet["summary"]) == (
        None, "quiet: nothing that it counts was heard of in its period (90% over 30d).",
    )  # fmt: skip


def test_one_is_found_by_its_name_and_some_by_their_state(site: Site) -> None:
    assert ask(site, "/billing", "/{name}")["name"] == "billing"
    assert [item["name"] for item in ask(site, "?state=ok&state=waiting")["items"]] == ["billing", "quiet"]
    assert [item["name"] for item in ask(site, "?name=quiet")["items"]] == ["quiet"]
    assert site.get("/api/v1/slos/nothing").status == 404
    assert site.get("/api/v1/slos?state=bad").status == 400


def test_a_correction_recounts_the_budget_says_what_changed_and_is_audited(site: Site) -> None:
    body = {"from": "2026-11-28T00:00:00Z", "to": "2026-12-01T00:00:00+01:00", "reason": "the warehouse  moved"}
    made = correct(site, body).json()
    assert (made["before"]["left"], made["after"]["left"]) == (0, 1)
    assert made["after"]["state"] == "ok"
    assert made["correction"]["reason"] == "the warehouse moved"
    assert made["correction"]["author"].startswith("token:")
    (kept,) = ask(site, "/orders", "/{name}")["corrections"]
    assert kept == made["correction"]
    with site.services.database.read() as connection:
        rows = connection.execute(select(audit.c.action, audit.c.target)).all()
    assert ("slo.correct", "slo:orders") in [tuple(row) for row in rows]
    gone = site.request("DELETE", f"/api/v1/slos/orders/corrections/{kept['id']}", token="admin")
    Judge(site).check("DELETE", "/api/v1/slos/{name}/corrections/{id}", gone)
    assert gone.json()["left"] == 0
    assert site.request("DELETE", f"/api/v1/slos/orders/corrections/{kept['id']}", token="admin").status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"from": "2026-11-28T00:00:00Z", "to": "2026-11-28T00:00:00Z", "reason": "x"}, 422),
        ({"from": "2026-11-28T00:00:00Z", "to": "2026-12-30T00:00:00Z", "reason": "x"}, 422),
        ({"from": "2026-11-28T00:00:00", "to": "2026-11-29T00:00:00", "reason": "x"}, 422),
        ({"from": "2026-11-28T00:00:00Z", "to": "2026-11-29T00:00:00Z", "reason": "  "}, 422),
    ],
)
def test_a_correction_needs_a_time_and_a_reason(site: Site, body: dict[str, Any], status: int) -> None:
    assert correct(site, body).status == status


def test_only_those_who_may_can_correct(site: Site) -> None:
    body = {"from": "2026-11-28T00:00:00Z", "to": "2026-11-29T00:00:00Z", "reason": "x"}
    assert site.request("POST", "/api/v1/slos/orders/corrections", token="read", json_body=body).status == 403
    assert correct(site, body, name="nothing").status == 404


def test_what_the_configuration_takes_out_is_changed_there(site: Site) -> None:
    away = Correction(NOW - 2 * DAY, NOW, "the warehouse moves", "configuration", is_planned=True)
    site.services.database.write(lambda connection: slos.plan(connection, [("orders", away)], NOW))
    orders = ask(site, "/orders", "/{name}")
    assert (orders["left"], orders["left_uncorrected"]) == (1, 0)
    (kept,) = orders["corrections"]
    assert (kept["planned"], kept["author"]) == (True, "configuration")
    refused = site.request("DELETE", f"/api/v1/slos/orders/corrections/{kept['id']}", token="admin")
    Judge(site).check("DELETE", "/api/v1/slos/{name}/corrections/{id}", refused)
    assert refused.status == 409 and "change maintenance there" in refused.json()["detail"]
    page = site.request("GET", "/slos", headers={"Cookie": site.sign_in(Role.VIEWER)}).body.decode()
    assert "the warehouse moves (configuration)" in page and "With it 0% would be left." in page
    assert "nothing was heard of it" in page


def test_a_team_sees_its_own_slos(site: Site) -> None:
    site.services.database.write(lambda connection: slos.set_team(connection, {"billing": "finance"}))
    token = site.new_token([Scope.READ], team="finance")
    assert [item["name"] for item in ask(site, token=token)["items"]] == ["billing"]
    assert site.get("/api/v1/slos/orders", token=token).status == 404


def test_the_document_of_an_slo_is_read_back_as_the_same_slo(site: Site) -> None:
    import yaml

    made = ask(site, "/orders/openslo", "/{name}/openslo")["document"]
    (found,) = load_text(yaml.safe_dump({"slos": [made]})).slos
    assert found.objectives == of_runs("0.95").objectives
    assert made["kind"] == document()["kind"]


def test_the_page_shows_what_is_left_and_what_follows(site: Site) -> None:
    cookie = site.sign_in(Role.VIEWER)
    answer = site.request("GET", "/slos", headers={"Cookie": cookie})
    page = answer.body.decode()
    assert answer.status == 200
    assert page.index(">orders<") < page.index(">billing<") < page.index(">quiet<")
    assert "2 of the newest 2 runs failed" in page
    assert "66.7%" in page
    assert "Look at the newest of them: so many in a row are no accident." in page


def test_metrics_tell_how_much_is_left_and_how_fast_it_goes(site: Site) -> None:
    text = site.get("/metrics").body.decode()
    assert 'watchtower_slo_error_budget_remaining_ratio{slo="billing",team=""} 0.666' in text
    assert 'watchtower_slo_events{slo="orders",team="",objective="runs",verdict="bad"} 2' in text
    assert 'watchtower_slo_burn_rate{slo="orders",team="",window="3d"}' in text
