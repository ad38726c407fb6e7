"""Pages: each reads what it shows and makes its view; `dashboards.web` turns views into HTML."""

from dashboards import web
from watchtower.server.endpoints import Call, Raw, not_found
from watchtower.server.pages.backtests import BacktestsQuery, backtest, backtest_list
from watchtower.server.pages.datasets import DatasetsQuery, dataset, dataset_list
from watchtower.server.pages.incident import acknowledge, incident, unacknowledge
from watchtower.server.pages.lists import DeliveriesQuery, IncidentsQuery, delivery_list, incident_list
from watchtower.server.pages.now import now
from watchtower.server.pages.pipeline import PipelinesQuery, pipeline, pipeline_list
from watchtower.server.pages.run import run
from watchtower.server.pages.silence import EndForm, SilenceForm, silence, silence_page, unsilence
from watchtower.server.pages.slos import slo_list
from watchtower.server.pages.sources import source_list

__all__ = [
    "BacktestsQuery",
    "DatasetsQuery",
    "DeliveriesQuery",
    "EndForm",
    "IncidentsQuery",
    "PipelinesQuery",
    "SilenceForm",
    "acknowledge",
    "backtest",
    "backtest_list",
    "dataset",
    "dataset_list",
    "delivery_list",
    "incident",
    "incident_list",
    "now",
    "pipeline",
    "pipeline_list",
    "run",
    "silence",
    "silence_page",
    "slo_list",
    "source_list",
    "static",
    "unacknowledge",
    "unsilence",
]


def static(call: Call) -> Raw:
    name = call.path["file"]
    body = web.static_file(name)
    if body is None:
        raise not_found("file", name)
    return Raw(body, web.STATIC_FILES[name])
