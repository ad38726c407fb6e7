"""Objectives, and what rules would have told."""

from watchtower.model.access import Permission
from watchtower.model.backtest import Kept
from watchtower.server.api import backtests, slos
from watchtower.server.endpoints import Endpoint, ListQuery

_OBSERVED = Permission.OBSERVED_READ
_ALERTS = Permission.ALERTS_READ

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/v1/slos",
        _OBSERVED,
        slos.list_slos,
        "SLOs, what has least left first: how much of each error budget is used, how fast it goes, and what follows.",
        slos.SloList,
        slos.SloQuery,
    ),
    Endpoint("GET", "/api/v1/slos/{name}", _OBSERVED, slos.get_slo, "One SLO.", slos.SloItem, statuses=(404,)),
    Endpoint(
        "GET",
        "/api/v1/slos/{name}/openslo",
        _OBSERVED,
        slos.export_slo,
        "One SLO as a document of OpenSLO v1.",
        slos.Export,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/slos/{name}/corrections",
        Permission.SLOS_CORRECT,
        slos.correct,
        "Say that a time does not count, with a reason; answers the SLO before and after.",
        slos.Corrected,
        body=slos.CorrectBody,
        statuses=(404, 422),
    ),
    Endpoint(
        "DELETE",
        "/api/v1/slos/{name}/corrections/{id}",
        Permission.SLOS_CORRECT,
        slos.withdraw,
        "Count again what a correction took out.",
        slos.SloItem,
        statuses=(404, 409),
    ),
    Endpoint(
        "GET",
        "/api/v1/backtests",
        _ALERTS,
        backtests.list_backtests,
        "Backtests that were kept, in numbers, newest first.",
        backtests.KeptList,
        ListQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/backtests/{id}",
        _ALERTS,
        backtests.get_backtest,
        "One backtest with all that would have fired, and whom it would have told.",
        backtests.KeptReport,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/backtests",
        Permission.BACKTESTS_KEEP,
        backtests.keep_backtest,
        "Keep what a backtest said; the newest hundred are kept.",
        Kept,
        body=backtests.KeepBody,
    ),
)
