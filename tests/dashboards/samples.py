"""One of everything that a page shows, and every page with it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards import web
from watchtower.model.alert import IncidentStatus, ObligationState, Severity
from watchtower.model.run import RunState
from watchtower.model.spending import BudgetState

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=12)

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
