"""Views through templates. Every value is escaped; a template that names something unknown fails in tests, loudly."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dashboards.web import words
from dashboards.web.bars import bars, tone, wide_bars
from dashboards.web.bars import words as state_words
from dashboards.web.meters import budget_words, meter, periods, used_meter
from dashboards.web.timeline import timeline
from dashboards.web.views.alone import LoginView, ProblemView
from dashboards.web.views.backtests import BacktestsView, BacktestView
from dashboards.web.views.datasets import DatasetsView, DatasetView
from dashboards.web.views.incidents import IncidentView, SilenceView
from dashboards.web.views.lists import DeliveriesView, IncidentsView
from dashboards.web.views.now import NowView
from dashboards.web.views.pipelines import PipelinesView, PipelineView, RunView
from dashboards.web.views.slos import SlosView
from dashboards.web.views.sources import SourcesView
from dashboards.web.waterfall import lanes

# name → content type
STATIC_FILES = {"watchtower.css": "text/css; charset=utf-8", "favicon.svg": "image/svg+xml"}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dashboards.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named: dict[str, Any] = {"bars": bars, "wide_bars": wide_bars, "tone": tone, "state_words": state_words}
    named |= {
        one.__name__: one
        for one in (words.age, words.span, words.moment, words.clock, words.hour, words.iso, words.size)
    }
    named |= {"number": words.number, "listed": words.listed}
    named |= {"meter": meter, "periods": periods, "budget_words": budget_words, "used_meter": used_meter}
    named |= {"lanes": lanes, "timeline": timeline}
    environment.globals.update(named)
    return environment


def render_now(view: NowView) -> str:
    return _render("now.html", view)


def render_incident(view: IncidentView) -> str:
    return _render("incident.html", view)


def render_silence(view: SilenceView) -> str:
    return _render("silence.html", view)


def render_incidents(view: IncidentsView) -> str:
    return _render("incidents.html", view)


def render_deliveries(view: DeliveriesView) -> str:
    return _render("deliveries.html", view)


def render_sources(view: SourcesView) -> str:
    return _render("sources.html", view)


def render_run(view: RunView) -> str:
    return _render("run.html", view)


def render_pipelines(view: PipelinesView) -> str:
    return _render("pipelines.html", view)


def render_datasets(view: DatasetsView) -> str:
    return _render("datasets.html", view)


def render_dataset(view: DatasetView) -> str:
    return _render("dataset.html", view)


def render_slos(view: SlosView) -> str:
    return _render("slos.html", view)


def render_backtests(view: BacktestsView) -> str:
    return _render("backtests.html", view)


def render_backtest(view: BacktestView) -> str:
    return _render("backtest.html", view)


def render_pipeline(view: PipelineView) -> str:
    return _render("pipeline.html", view)


def render_login(view: LoginView) -> str:
    return _render("login.html", view)


def render_problem(view: ProblemView) -> str:
    return _render("problem.html", view)


def static_file(name: str) -> bytes | None:
    """The bytes of a file named in STATIC_FILES; None for any other name."""
    return (files("dashboards.web") / "static" / name).read_bytes() if name in STATIC_FILES else None


def _render(template: str, view: object) -> str:
    return _environment().get_template(template).render(view=view)
