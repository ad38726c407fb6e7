"""The web UI's pages: view dataclasses in, HTML out. Reads no store and knows no request.

Server-rendered, readable without script and on a phone; one vendored style sheet, no inline style or script, so that
the strictest content security policy holds.
"""

from dashboards.web.meters import budget_tone
from dashboards.web.render import (
    STATIC_FILES,
    render_backtest,
    render_backtests,
    render_dataset,
    render_datasets,
    render_deliveries,
    render_incident,
    render_incidents,
    render_login,
    render_now,
    render_pipeline,
    render_pipelines,
    render_problem,
    render_run,
    render_slos,
    render_sources,
    static_file,
)
from dashboards.web.views.alone import LoginView, ProblemView
from dashboards.web.views.backtests import BacktestRow, BacktestsView, BacktestView, Fired, TimelineLine
from dashboards.web.views.datasets import DatasetsView, DatasetView, ListedDataset, StageRow, UpdateRow
from dashboards.web.views.incidents import CallView, ChangeView, IncidentView, MessageView, ReaderView, TimelineRow
from dashboards.web.views.lists import Choice, DeliveriesView, DeliveryRow, IncidentsView
from dashboards.web.views.now import BudgetRow, IngestView, MaintenanceView, NowView, PeriodBar
from dashboards.web.views.parts import AlertView, Bar, DatasetRow, Fact, IncidentCard, LinkView, PipelineRow, Shell
from dashboards.web.views.pipelines import PipelinesView, PipelineTask, PipelineView, RunRow, RunView, TaskRow, WatchRow
from dashboards.web.views.slos import SloRow, SlosView
from dashboards.web.views.sources import SourceRow, SourcesView

__all__ = [
    "STATIC_FILES",
    "AlertView",
    "BacktestRow",
    "BacktestView",
    "BacktestsView",
    "Bar",
    "BudgetRow",
    "CallView",
    "ChangeView",
    "Choice",
    "DatasetRow",
    "DatasetView",
    "DatasetsView",
    "DeliveriesView",
    "DeliveryRow",
    "Fact",
    "Fired",
    "IncidentCard",
    "IncidentView",
    "IncidentsView",
    "IngestView",
    "LinkView",
    "ListedDataset",
    "LoginView",
    "MaintenanceView",
    "MessageView",
    "NowView",
    "PeriodBar",
    "PipelineRow",
    "PipelineTask",
    "PipelineView",
    "PipelinesView",
    "ProblemView",
    "ReaderView",
    "RunRow",
    "RunView",
    "Shell",
    "SloRow",
    "SlosView",
    "SourceRow",
    "SourcesView",
    "StageRow",
    "TaskRow",
    "TimelineLine",
    "TimelineRow",
    "UpdateRow",
    "WatchRow",
    "budget_tone",
    "render_backtest",
    "render_backtests",
    "render_dataset",
    "render_datasets",
    "render_deliveries",
    "render_incident",
    "render_incidents",
    "render_login",
    "render_now",
    "render_pipeline",
    "render_pipelines",
    "render_problem",
    "render_run",
    "render_slos",
    "render_sources",
    "static_file",
]
