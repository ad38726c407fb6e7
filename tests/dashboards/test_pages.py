"""Pages as text: nothing that comes from a sender becomes markup, and nothing needs a weaker security policy."""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards import web
from dashboards.web import words
from dashboards.web.bars import bars, tone
from dashboards.web.meters import budget_tone, budget_words, meter, periods
from dashboards.web.waterfall import lanes
from watchtower.model.alert import IncidentStatus, ObligationState, Severity
from watchtower.model.run import RunState
from watchtower.model.spending import BudgetState

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=12)
NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{7*7}}\u202e"

SHELL = web.Shell(NOW, "A person", "token", 15)
FACT = web.Fact("Expected", "07:30")
LINK = web.LinkView("Runbook", "https://runbooks.example.org/orders")
BARS = tuple(
    web.Bar(f"run-{number}", state, SINCE, None if number == 2 else 60.0 * number)
    for number, state in enumerate(RunState)
)
CARD = web.IncidentCard(
    id="i1",
    severity=Severity.PAGE,
    status=IncidentStatus.ACKNOWLEDGED,
    title="RunFailed: orders",
    since=SINCE,
    ended=None,
    owner="data-lead",
    team="data",
    why="It failed.",
    facts=(FACT,),
    more_alerts=2,
    acknowledged_by="primary",
    bars=BARS,
)
ALERT = web.AlertView(
    name="RunFailed",
    where="orders · load",
    severity=Severity.PAGE,
    state="firing",
    since=SINCE,
    ended=None,
    why="It failed.",
    description="A run of orders must not fail.",
    cause="failed at load: INSERT orders failed in 12 of 40 calls (usually none): deadlock detected",
    facts=(FACT,),
    lines=("also failed: check",),
    error="Traceback\nValueError",
    links=(LINK,),
    suppressed=True,
    found_late=True,
    flapping=True,
)
ROW = web.PipelineRow("job-1", "orders", "prod", "data-lead", "", SINCE, RunState.FAILED, True, 7, 10, BARS)
BUDGET = web.BudgetRow(
    name="prod-daily",
    owner="finops-lead",
    state=BudgetState.OVER,
    tone="bad",
    fill="bad",
    when="on 2026-03-01",
    spent="125.00 USD",
    limit="100.00 USD per day",
    share="125%",
    percent=125.0,
    ticks=(80.0, 100.0),
    late=True,
    covered_until=NOW,
    notes=("100.01 USD on 2026-02-28",),
    bars=(web.PeriodBar(40.0, "good", "2026-02-28: 40.00 USD"), web.PeriodBar(125.0, "bad", "2026-03-01: 125.00 USD")),
)
NOW_VIEW = web.NowView(
    shell=SHELL,
    broken=(CARD,),
    open_incidents=1,
    loose=(ALERT,),
    resolved=(replace(CARD, status=IncidentStatus.RESOLVED, ended=NOW),),
    pipelines=(ROW, replace(ROW, bars=(), state=None, broken=False, schedule="@daily")),
    total=12,
    total_broken=1,
    total_learning=3,
    ingest=web.IngestView(SINCE, 2_000_000, True, 3, 1),
    base_url="http://127.0.0.1:8642",
    budgets=(BUDGET, replace(BUDGET, spent="", bars=(), covered_until=None, late=False)),
)
INCIDENT = web.IncidentView(
    shell=SHELL,
    card=CARD,
    alerts=(ALERT, replace(ALERT, state="resolved", ended=NOW)),
    downstream=(
        web.ReaderView("d1", "shop.orders", "finance", ("revenue", "forecast"), NOW),
        web.ReaderView("d2", "shop.late", "", (), SINCE),
        web.ReaderView("d3", "shop.new", "", (), None),
    ),
    held_up=(
        web.HeldUpView("extract", "/pipelines/p1", "extract failed"),
        web.HeldUpView("theirs", "", "theirs failed"),
    ),
    messages=(web.MessageView("team/slack[0]", "first", ObligationState.DELIVERED, 1, NOW, "1712.34", ""),),
    obligations=((ObligationState.DELIVERED, 2),),
    tickets=(LINK,),
    timeline=(web.TimelineRow(NOW, "triggered", "It fires.", "primary"),),
    quiet=(web.QuietView("s1", 'pipeline="orders"', "the warehouse is being moved", "primary", NOW, may_end=True),),
    may_silence=True,
)
SILENCE = web.SilenceView(
    SHELL, "i1", "OrdersFailed: orders", ('pipeline="orders"',), 1, 2, (web.Choice("2", "2 h", True),)
)
RUN = web.RunView(
    shell=SHELL,
    id="r1",
    name="orders",
    namespace="prod",
    state=RunState.FAILED,
    facts=(FACT,),
    cause="failed at load: GET /rates took 3,000 ms at p95 against 200 ms, 15 % of calls",
    error="amount is missing",
    stack="Traceback",
    said="42 rows\ndisk full",
    tasks=(web.TaskRow("r2", "load", 2, RunState.FAILED, None, SINCE, SINCE + timedelta(seconds=9), 9.0, "boom"),),
    inputs=(FACT,),
    outputs=(FACT,),
    links=(LINK,),
    bars=BARS,
)
CHOICES = (web.Choice("", "all", False), web.Choice("resolved", "resolved", True))
INCIDENTS = web.IncidentsView(SHELL, (CARD, replace(CARD, ended=NOW)), "orders", CHOICES, "/incidents?cursor=abc")
DELIVERY = web.DeliveryRow(
    destination="team/slack[0]",
    incident_id="i1",
    title="RunFailed: orders",
    what="it began",
    state=ObligationState.DELIVERED,
    attempts=2,
    owed_at=SINCE,
    settled_s=2.0,
    proof="1712.34",
    note="",
)
DELIVERIES = web.DeliveriesView(
    shell=SHELL,
    rows=(DELIVERY, replace(DELIVERY, state=ObligationState.DUE, settled_s=None, proof="", incident_id="")),
    totals=((ObligationState.DUE, 1), (ObligationState.DELIVERED, 1)),
    destination="team/slack[0]",
    states=CHOICES,
    next_url="/deliveries?cursor=abc",
)
SOURCE = web.SourceRow(
    name="prod",
    namespace="prod-airflow",
    how="airflow, asked every 1m",
    tone="bad",
    state="cannot be asked",
    news=SINCE,
    read=SINCE,
    delay_s=720.0,
    pipelines=12,
    errors="50% of the last polls failed",
    tells=("12 dags",),
    wrong=("prod answers 401: check username and password",),
)
SOURCES = web.SourcesView(SHELL, (SOURCE, replace(SOURCE, read=None, delay_s=None, tells=(), wrong=(), errors="")))
PIPELINES = web.PipelinesView(SHELL, (ROW,), "orders", True, "/pipelines?q=orders&cursor=abc")
PIPELINE = web.PipelineView(
    shell=SHELL,
    row=ROW,
    facts=(FACT,),
    description="All orders of the shop.",
    links=(LINK,),
    bars=BARS,
    alerts=(ALERT,),
    incidents=(CARD,),
    watches=(
        web.WatchRow("RunSlow", "orders: a run must take at most 1m4s.", "learning", "calm", "7 of 10 runs", NOW),
        web.WatchRow("RunFailed", "orders: no run may fail.", "ok", "good", "", None),
    ),
    runs=(web.RunRow("r1", "scheduled__2026", NOW, SINCE, 9.0, RunState.FAILED, "schedule", "boom"),),
    tasks=(web.PipelineTask("load", "another-lead", RunState.SUCCEEDED, NOW, 12.0, 44.0, BARS),),
    datasets=(
        web.DatasetRow("d1", "shop.raw", "s3://lake", "", False, SINCE, ("collect",)),
        web.DatasetRow("d1", "shop.orders", "postgres://dwh", "data-lead", True, None, ()),
    ),
)
DATASETS = web.DatasetsView(
    SHELL,
    (
        web.ListedDataset("d1", "shop.raw", "s3://lake", "", SINCE, "bad", "late", "DatasetStale"),
        web.ListedDataset("d2", "shop.orders", "postgres://dwh", "data-lead", None, "calm", "learning", ""),
    ),
    "shop",
    "/datasets?q=shop&cursor=abc",
)
DATASET = web.DatasetView(
    shell=SHELL,
    name="shop.raw",
    namespace="s3://lake",
    description="All orders of the shop.",
    tone="bad",
    state="late",
    said=("shop.raw is fresh as of yesterday.", "New data is late."),
    held_up=(LINK,),
    facts=(FACT,),
    alerts=(ALERT,),
    watches=PIPELINE.watches,
    stages=(
        web.StageRow("/pipelines/p1", "load", "prod", 1, RunState.SUCCEEDED, SINCE, holds_up=False, bars=BARS),
        web.StageRow("", "extract", "prod", 3, None, None, holds_up=True, bars=()),
    ),
    readers=(LINK,),
    updates=(
        web.UpdateRow(SINCE, "r1", 12_345, 2_048, "2026-03-01", ""),
        web.UpdateRow(SINCE, "", None, None, "", "as the data itself tells"),
    ),
    fields=(FACT,),
)
PAGES: dict[str, tuple[Any, Any]] = {
    "now": (web.render_now, NOW_VIEW),
    "incident": (web.render_incident, INCIDENT),
    "silence": (web.render_silence, SILENCE),
    "silence of nothing": (web.render_silence, replace(SILENCE, matchers=())),
    "incidents": (web.render_incidents, INCIDENTS),
    "deliveries": (web.render_deliveries, DELIVERIES),
    "sources": (web.render_sources, SOURCES),
    "run": (web.render_run, RUN),
    "pipelines": (web.render_pipelines, PIPELINES),
    "pipeline": (web.render_pipeline, PIPELINE),
    "datasets": (web.render_datasets, DATASETS),
    "dataset": (web.render_dataset, DATASET),
    "login": (web.render_login, web.LoginView("code", "This link was used already.")),
    "login without code": (web.render_login, web.LoginView("")),
    "problem": (web.render_problem, web.ProblemView(404, "there is no such thing", "abc")),
}
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


def test_a_meter_says_its_share_and_never_leaves_its_frame() -> None:
    for percent in (0.0, 79.9, 100.0, 125.0, 1e9):
        drawn = str(meter(replace(BUDGET, percent=percent)))
        assert 'aria-label="125% of the limit"' in drawn
        for x, width in re.findall(r'x="(\d+)" y="0" width="(\d+)"', drawn):
            assert int(x) + int(width) <= 168
    drawn = str(periods(BUDGET.bars * 30))
    assert 'aria-label="last 21 days: 11 above the limit"' in drawn
    assert drawn.count("<title>") == 21


@pytest.mark.parametrize("state", BudgetState)
def test_every_state_of_a_budget_has_words_and_a_tone(state: BudgetState) -> None:
    assert budget_words(state)
    assert budget_tone(state) in ("good", "warn", "bad", "calm")


def test_bars_show_each_run_and_say_so_without_sight() -> None:
    drawn = str(bars(BARS))
    assert drawn.count("<title>") == len(RunState)
    assert 'aria-label="last 11 runs: ' in drawn
    assert 'role="img"' in drawn
    assert str(bars(())).count('class="none"') == 24
    assert str(bars(BARS * 5)).count("<rect") == 24


def task(name: str, began: int | None, ended: int | None, *, queued: int | None = None) -> web.TaskRow:
    """Seconds from SINCE; one that has not ended is running."""
    waited, at, end = (None if it is None else SINCE + timedelta(seconds=it) for it in (queued, began, ended))
    state = RunState.QUEUED if began is None else RunState.SUCCEEDED if ended is not None else RunState.RUNNING
    took = ended - began if ended is not None and began is not None else None
    return web.TaskRow(name, name, 1, state, waited, at, end, took, "")


def rects(svg: str) -> list[tuple[str, int, int]]:
    found = re.findall(r'<rect class="(\w+)" x="(\d+)" y="0" width="(\d+)"', svg)
    return [(kind, int(x), int(width)) for kind, x, width in found]


def test_tasks_of_a_run_stand_in_lanes_over_one_time() -> None:
    rows = (task("extract", 60, 120, queued=0), task("load", 120, None), task("report", None, None))
    shared = lanes(rows, SINCE + timedelta(seconds=240))
    assert shared is not None
    assert rects(shared.lane(rows[0])) == [("wait", 0, 60), ("good", 60, 60)]
    assert rects(shared.lane(rows[1])) == [("busy", 120, 120)], "what runs has come to now"
    assert rects(shared.lane(rows[2])) == []
    assert "took 1 min" in shared.lane(rows[0])


def test_a_task_of_a_moment_is_seen_and_stays_within_its_lane() -> None:
    rows = (task("long", 0, 3600), task("short", 3600, 3600))
    shared = lanes(rows, SINCE + timedelta(days=1))
    assert shared is not None
    assert rects(shared.lane(rows[1])) == [("good", 238, 2)]
    assert lanes((rows[1],), SINCE) is not None, "a run of no length, too"


def test_a_run_of_which_nothing_began_has_no_lanes() -> None:
    assert lanes((task("report", None, None),), SINCE) is None
    assert lanes((), SINCE) is None


@pytest.mark.parametrize("state", [*RunState, None])
def test_every_state_has_a_tone(state: RunState | None) -> None:
    assert tone(state) in ("good", "bad", "busy", "calm")


def test_a_span_that_nobody_knows_is_a_dash() -> None:
    assert words.span(None) == "–"
    assert words.span(63.5) == "1 min 4 s"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (1 << 30, "1.0 GiB")])
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


def test_static_files_are_those_named_and_no_others() -> None:
    for name in web.STATIC_FILES:
        assert web.static_file(name)
    assert web.static_file("../render.py") is None
    css = (web.static_file("watchtower.css") or b"").decode()
    assert "url(" not in css
    assert "@import" not in css
