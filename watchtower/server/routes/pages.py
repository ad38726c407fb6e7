"""Pages, health, and what providers call back: all that is no API."""

from watchtower.model.access import Permission
from watchtower.server import health, hooks, pages, signing_in
from watchtower.server.endpoints import Endpoint, Open

_OBSERVED = Permission.OBSERVED_READ
_ALERTS = Permission.ALERTS_READ

# Everything that answers without a token or a session. Static files of the sign-in page hold no information.
PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/login", "/login/{file}"})
# What providers call back: without a token, and believed only with their signature over the whole request.
SIGNED_PATHS = frozenset({"/hooks/{name}", "/hooks/{name}/{action}", "/hooks/{name}/{action}/{token}"})

_HEALTH = (
    Endpoint("GET", "/livez", Open.PUBLIC, health.livez, "This process answers.", kind="text"),
    Endpoint("GET", "/readyz", Open.PUBLIC, health.readyz, "It can do its work.", answers=health.Readiness),
    Endpoint(
        "GET",
        "/metrics",
        Permission.METRICS_READ,
        health.metrics,
        "Prometheus metrics.",
        query=health.MetricsQuery,
        kind="text",
    ),
)

_HOOKS = tuple(
    Endpoint(
        "POST",
        path,
        Open.SIGNED,
        hooks.receive,
        "A provider calls back.",
        kind="text",
        statuses=(403, 404, 503),
        max_body=hooks.MAX_BODY,
    )
    for path in sorted(SIGNED_PATHS)
)

_PAGES = (
    Endpoint("GET", "/login", Open.PUBLIC, signing_in.login_page, "Sign in.", query=signing_in.LoginQuery, kind="page"),
    Endpoint(
        "POST",
        "/login",
        Open.PUBLIC,
        signing_in.login,
        "Sign in.",
        body=signing_in.LoginForm,
        statuses=(400, 403, 429),
        kind="page",
    ),
    Endpoint(
        "GET",
        "/login/{file}",
        Open.PUBLIC,
        pages.static,
        "Style and icon of the sign-in page.",
        statuses=(404,),
        kind="page",
    ),
    Endpoint("POST", "/logout", _ALERTS, signing_in.logout, "Sign out.", body=signing_in.PressForm, kind="page"),
    Endpoint("GET", "/", _ALERTS, pages.now, "What is broken now.", kind="page"),
    Endpoint(
        "GET",
        "/incidents",
        _ALERTS,
        pages.incident_list,
        "All incidents, or those that are searched for.",
        query=pages.IncidentsQuery,
        kind="page",
    ),
    Endpoint("GET", "/incidents/{id}", _ALERTS, pages.incident, "One incident.", statuses=(404,), kind="page"),
    Endpoint(
        "POST",
        "/incidents/{id}/acknowledge",
        Permission.INCIDENTS_RESPOND,
        pages.acknowledge,
        "I have it.",
        body=signing_in.PressForm,
        statuses=(404, 409),
        kind="page",
    ),
    Endpoint(
        "POST",
        "/incidents/{id}/unacknowledge",
        Permission.INCIDENTS_RESPOND,
        pages.unacknowledge,
        "Take it back.",
        body=signing_in.PressForm,
        statuses=(404, 409),
        kind="page",
    ),
    Endpoint(
        "GET",
        "/incidents/{id}/silence",
        Permission.SILENCES_WRITE,
        pages.silence_page,
        "What would be kept quiet.",
        statuses=(404, 409),
        kind="page",
    ),
    Endpoint(
        "POST",
        "/incidents/{id}/silence",
        Permission.SILENCES_WRITE,
        pages.silence,
        "Keep it quiet for a while.",
        body=pages.SilenceForm,
        statuses=(404, 409),
        kind="page",
    ),
    Endpoint(
        "POST",
        "/incidents/{id}/unsilence",
        Permission.SILENCES_WRITE,
        pages.unsilence,
        "End a silence now.",
        body=pages.EndForm,
        statuses=(404,),
        kind="page",
    ),
    Endpoint(
        "GET",
        "/pipelines",
        _OBSERVED,
        pages.pipeline_list,
        "All pipelines, or those that are searched for.",
        query=pages.PipelinesQuery,
        kind="page",
    ),
    Endpoint("GET", "/pipelines/{id}", _OBSERVED, pages.pipeline, "One pipeline.", statuses=(404,), kind="page"),
    Endpoint(
        "GET",
        "/datasets",
        _OBSERVED,
        pages.dataset_list,
        "All datasets, or those that are searched for.",
        query=pages.DatasetsQuery,
        kind="page",
    ),
    Endpoint("GET", "/datasets/{id}", _OBSERVED, pages.dataset, "One dataset.", statuses=(404,), kind="page"),
    Endpoint("GET", "/runs/{id}", _OBSERVED, pages.run, "One run.", statuses=(404,), kind="page"),
    Endpoint("GET", "/sources", _OBSERVED, pages.source_list, "Sources, what is wrong with one first.", kind="page"),
    Endpoint(
        "GET",
        "/deliveries",
        Permission.LEDGER_READ,
        pages.delivery_list,
        "What was owed to whom, and what came of it.",
        query=pages.DeliveriesQuery,
        kind="page",
    ),
    Endpoint("GET", "/slos", _OBSERVED, pages.slo_list, "SLOs, what has least left first.", kind="page"),
    Endpoint(
        "GET",
        "/backtests",
        _ALERTS,
        pages.backtest_list,
        "Backtests that were kept, newest first.",
        query=pages.BacktestsQuery,
        kind="page",
    ),
    Endpoint("GET", "/backtests/{id}", _ALERTS, pages.backtest, "One backtest.", statuses=(404,), kind="page"),
    Endpoint("GET", "/static/{file}", _ALERTS, pages.static, "Style and icon.", statuses=(404,), kind="page"),
)

ENDPOINTS = (*_HEALTH, *_HOOKS, *_PAGES)
