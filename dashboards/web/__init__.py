"""The web UI's pages: view dataclasses in, HTML out. Reads no store and knows no request.

Server-rendered, readable without script and on a phone; one vendored style sheet, no inline style or script, so that
the strictest content security policy holds.
"""

from dashboards.web.meters import budget_tone
from dashboards.web.render import (
    STATIC_FILES,
    render_incident,
    render_login,
    render_now,
    render_problem,
    render_run,
    static_file,
)
from dashboards.web.views import (
    AlertView,
    Bar,
    BudgetRow,
    CallView,
    Fact,
    IncidentCard,
    IncidentView,
    IngestView,
    LinkView,
    LoginView,
    MessageView,
    NowView,
    PeriodBar,
    PipelineRow,
    ProblemView,
    ReaderView,
    RunView,
    Shell,
    TaskRow,
    TimelineRow,
)

__all__ = [
    "STATIC_FILES",
    "AlertView",
    "Bar",
    "BudgetRow",
    "CallView",
    "Fact",
    "IncidentCard",
    "IncidentView",
    "IngestView",
    "LinkView",
    "LoginView",
    "MessageView",
    "NowView",
    "PeriodBar",
    "PipelineRow",
    "ProblemView",
    "ReaderView",
    "RunView",
    "Shell",
    "TaskRow",
    "TimelineRow",
    "budget_tone",
    "render_incident",
    "render_login",
    "render_now",
    "render_problem",
    "render_run",
    "static_file",
]
