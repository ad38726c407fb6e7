"""Pages as text: nothing that comes from a sender becomes markup, and nothing needs a weaker security policy."""

import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards import web
from tests.dashboards.samples import (
    BUDGET,
    CHOICES,
    DELIVERIES,
    INCIDENTS,
    LINK,
    NOW_VIEW,
    PAGES,
    PIPELINE,
    PIPELINES,
    SHELL,
    SOURCES,
)

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{7*7}}\u202e"
ALLOWED_VOID = {"meta", "link", "input", "br", "rect", "path"}


class Reader(HTMLParser):
    """Collects what a browser would act on, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ALLOWED_VOID - {"rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == [], "every element is closed"
    return reader


def spoilt(view: Any, text: str) -> Any:
    """view with every free text replaced by text."""
    if is_dataclass(view) and not isinstance(view, type):
        changed = {one.name: spoilt(getattr(view, one.name), text) for one in fields(view)}
        return replace(view, **changed)
    if isinstance(view, tuple):
        return tuple(spoilt(item, text) for item in cast("tuple[Any, ...]", view))
    free = type(view) is str and not str(view).startswith("http")
    return text if free else view


@pytest.mark.parametrize("name", PAGES)
def test_pages_need_no_script_no_inline_style_and_no_foreign_address(name: str) -> None:
    render, view = PAGES[name]
    reader = read(render(view))
    assert "script" not in reader.tags
    assert "style" not in reader.tags
    for attribute, value in reader.attributes:
        assert attribute != "style"
        assert not attribute.startswith("on")
        if attribute in ("src", "action") or (attribute == "href" and value.startswith("/")):
            assert value.startswith("/")
    addresses = {value for attribute, value in reader.attributes if attribute == "href" and not value.startswith("/")}
    assert addresses <= {LINK.url}


@pytest.mark.parametrize("name", PAGES)
def test_no_text_of_a_sender_becomes_markup(name: str) -> None:
    render, view = PAGES[name]
    plain, nasty = read(render(view)), read(render(spoilt(view, NASTY)))
    assert set(nasty.tags) <= set(plain.tags) | {"p", "span", "a", "dl", "div", "dt", "dd", "pre"}
    assert "img" not in nasty.tags
    assert not [name for name, _ in nasty.attributes if name.startswith("on")]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40))
def test_any_text_can_be_shown(text: str) -> None:
    for render, view in PAGES.values():
        read(render(spoilt(view, text)))


def test_the_now_page_says_what_since_when_whose_and_why() -> None:
    text = read(web.render_now(NOW_VIEW)).text
    for said in (
        "One thing is broken",
        "RunFailed: orders",
        "12 min",
        "data-lead",
        "team data",
        "It failed.",
        "primary has it",
    ):
        assert said in text
    assert "11 of 12 pipelines are well; 3 still learning" in re.sub(r"\s+", " ", text)
    assert "learning, 7 of 10 runs" in text


def test_the_page_of_a_pipeline_says_what_is_watched_and_what_that_means() -> None:
    text = re.sub(r"\s+", " ", read(web.render_pipeline(PIPELINE)).text)
    assert "RunSlow orders: a run must take at most 1m4s. learning7 of 10 runs 2026-03-02 08:00:00 UTC" in text
    assert "RunFailed orders: no run may fail. ok the next event" in text
    for said in ("All orders of the shop.", "scheduled__2026", "boom", "44 s", "another-lead", "shop.raw", "collect"):
        assert said in text


def test_a_pipeline_that_has_not_run_yet_says_so() -> None:
    bare = replace(PIPELINE, runs=(), tasks=(), datasets=(), alerts=(), incidents=(), watches=(), bars=())
    text = read(web.render_pipeline(bare)).text.partition("as of")[2]
    assert "has not run yet" in text
    for heading in ("Tasks", "What it reads", "What is wrong", "Incidents"):
        assert heading not in text


def test_a_search_that_finds_nothing_leads_back_to_all_pipelines() -> None:
    page = web.render_pipelines(replace(PIPELINES, rows=(), next_url=""))
    assert "No pipeline is like that." in read(page).text
    assert ("href", "/pipelines") in read(page).attributes
    assert ("value", "orders") in read(page).attributes


def test_a_list_that_is_empty_says_whether_there_is_none_or_none_like_that() -> None:
    everything = (replace(CHOICES[0], chosen=True), replace(CHOICES[1], chosen=False))
    for narrowed, page, said in (
        (True, web.render_incidents(replace(INCIDENTS, rows=())), "No incident is like that."),
        (False, web.render_incidents(replace(INCIDENTS, rows=(), text="", statuses=everything)), "ever broken"),
        (True, web.render_deliveries(replace(DELIVERIES, rows=())), "No delivery is like that."),
        (False, web.render_deliveries(replace(DELIVERIES, rows=(), destination="", states=everything)), "to anybody"),
    ):
        found = read(page)
        assert said in found.text
        assert ("All of them" in found.text) is narrowed


def test_a_delivery_says_to_whom_of_what_how_soon_and_with_what_proof() -> None:
    text = re.sub(r"\s+", " ", read(web.render_deliveries(DELIVERIES)).text)
    assert "1 due, 1 delivered" in text
    for said in ("team/slack[0] RunFailed: orders", "it began", "delivered", "after 2.0 s", "1712.34", "due"):
        assert said in text


def test_a_list_marks_its_own_name_above_it() -> None:
    for name in ("incidents", "deliveries", "sources", "pipelines"):
        render, view = PAGES[name]
        assert f'<a href="/{name}" aria-current="page">' in render(view)
    assert "aria-current" not in web.render_now(NOW_VIEW)


def test_a_source_that_cannot_be_asked_says_what_to_do() -> None:
    text = re.sub(r"\s+", " ", read(web.render_sources(SOURCES)).text)
    for said in ("cannot be asked", "50% of the last polls failed", "check username and password", "12 min", "12 dags"):
        assert said in text


def test_nothing_broken_is_one_calm_line() -> None:
    calm = replace(NOW_VIEW, broken=(), open_incidents=0, loose=(), total_broken=0)
    assert "All is well" in read(web.render_now(calm)).text


def test_what_is_not_shown_of_what_is_broken_is_counted_and_found() -> None:
    page = read(web.render_now(replace(NOW_VIEW, open_incidents=307)))
    assert "307 things are broken" in re.sub(r"\s+", " ", page.text)
    assert "of 307: all of them" in re.sub(r"\s+", " ", page.text)


def test_an_empty_store_says_where_to_send() -> None:
    ingest = web.IngestView(None, 0, False, 0, 0)
    empty = web.NowView(SHELL, (), 0, (), (), (), 0, 0, 0, ingest, "http://127.0.0.1:8642")
    text = read(web.render_now(empty)).text
    assert "Nothing has reported yet" in text
    assert "http://127.0.0.1:8642/api/v1/lineage" in text


def test_a_budget_is_shown_with_what_is_spent_of_it_and_none_with_no_panel() -> None:
    text = re.sub(r"\s+", " ", read(web.render_now(replace(NOW_VIEW, budgets=(BUDGET,)))).text)
    for said in (
        "prod-daily",
        "100.00 USD per day",
        "over",
        "125.00 USD",
        "125%",
        "on 2026-03-01",
        "late",
        "finops-lead",
    ):
        assert said in text
    assert "100.01 USD on 2026-02-28" in text
    assert "Budgets" not in read(web.render_now(replace(NOW_VIEW, budgets=()))).text


def test_static_files_are_those_named_and_no_others() -> None:
    for name in web.STATIC_FILES:
        assert web.static_file(name)
    assert web.static_file("../render.py") is None
    css = (web.static_file("watchtower.css") or b"").decode()
    assert "url(" not in css
    assert "@import" not in css
