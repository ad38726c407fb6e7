"""The pages of pipelines on a whole server: found by name and owner, and only by those who may see them."""

import re

import pytest

from rules.engine import Engine
from tests.server.site import Site
from tests.server.story import CLICKS, MODEL, ORDERS, REVENUE, tell
from watchtower.clock import ManualClock
from watchtower.model.access import Role
from watchtower.model.labels import Labels
from watchtower.model.rule import Rule
from watchtower.registry import RULE_KINDS
from watchtower.store.subjects import Subjects


def shown(site: Site, path: str, cookie: str, status: int = 200) -> str:
    """The text of a page, on one line."""
    answer = site.request("GET", path, headers={"Cookie": cookie})
    assert answer.status == status, answer.body
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.body.decode()))


@pytest.fixture
def admin(any_site: Site, clock: ManualClock) -> str:
    tell(any_site.services.database, clock)
    return any_site.sign_in()


def named(text: str) -> list[str]:
    return [ref.pipeline for ref in (CLICKS, ORDERS, REVENUE, MODEL) if f" {ref.pipeline} " in text]


def test_all_pipelines_are_listed_by_name(any_site: Site, admin: str) -> None:
    text = shown(any_site, "/pipelines", admin)
    assert named(text) == ["clicks_ingest", "orders_hourly", "revenue_daily", "train_ranker"]
    assert text.index("clicks_ingest") < text.index("orders_hourly") < text.index("train_ranker")


def test_a_search_takes_its_words_literally(any_site: Site, admin: str) -> None:
    everything = ["clicks_ingest", "orders_hourly", "revenue_daily", "train_ranker"]
    for query, found in (
        ("q=ORDERS", ["orders_hourly"]),
        ("q=finance-primary", ["revenue_daily"]),
        ("q=ml", ["train_ranker"]),
        ("q=_", everything),
        ("q=%25", []),
        ("q=%5C", []),
        ("broken=true", ["orders_hourly", "revenue_daily"]),
        ("q=orders&broken=true", ["orders_hourly"]),
        ("q=clicks&broken=true", []),
    ):
        assert named(shown(any_site, f"/pipelines?{query}", admin)) == found, query


def test_a_pipeline_is_shown_with_its_runs_and_whom_it_feeds(any_site: Site, admin: str) -> None:
    text = shown(any_site, f"/pipelines/{ORDERS.id}", admin)
    for said in ("orders_hourly", "data-lead", "Last runs", "orders_hourly-29", "What is wrong", "amount is missing"):
        assert said in text
    writes = text[text.index("What it writes") :]
    assert "shop.public.orders" in writes
    assert "revenue_daily" in writes


def test_another_teams_pipeline_is_not_there(any_site: Site, admin: str) -> None:
    cookie = any_site.sign_in(Role.VIEWER, team="finance")
    assert named(shown(any_site, "/pipelines", cookie)) == ["revenue_daily"]
    shown(any_site, f"/pipelines/{REVENUE.id}", cookie)
    shown(any_site, f"/pipelines/{ORDERS.id}", cookie, status=404)


def test_what_is_no_pipeline_has_no_page(any_site: Site, admin: str) -> None:
    shown(any_site, "/pipelines/nothing", admin, status=404)


def test_rules_say_what_they_expect_of_this_very_pipeline(any_site: Site, admin: str, clock: ManualClock) -> None:
    database = any_site.services.database
    kind = RULE_KINDS.get("duration")()
    rule = Rule("RunSlow", "duration", kind.Config())
    any_site.services.explain = Engine(
        Subjects(database, "test"), _Nobody(), clock, lambda: (rule,), {"duration": kind}
    ).explain
    text = shown(any_site, f"/pipelines/{ORDERS.id}", admin)
    assert re.search(r"RunSlow orders_hourly: a run must take at most \S+ \(\d+ s\)", text), text
    assert "learning" in shown(any_site, f"/pipelines/{MODEL.id}", admin)


def test_what_rules_say_of_the_datasets_that_it_writes_stands_there_too(
    any_site: Site, admin: str, clock: ManualClock
) -> None:
    """Whether it is safe to cut over, say."""
    kind = RULE_KINDS.get("compare")()
    rule = Rule("NewWay", "compare", kind.Config(against={"dataset": "shop.public.old"}))
    any_site.services.explain = Engine(
        Subjects(any_site.services.database, "test"), _Nobody(), clock, lambda: (rule,), {"compare": kind}
    ).explain
    text = shown(any_site, f"/pipelines/{ORDERS.id}", admin)
    assert "NewWay · shop.public.orders" in text
    assert "Shop.public.old was never heard of: not safe to cut over." in text


class _Nobody:
    def plan(self, labels: Labels) -> tuple[()]:
        return ()
