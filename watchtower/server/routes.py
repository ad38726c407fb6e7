"""The route table: every path beside ingest, with the permission it needs. What is not here does not exist."""

from watchtower.model.access import Permission
from watchtower.server import health, hooks, openapi, pages, signing_in
from watchtower.server.api import administration, alerting, costs, ledger, observed, people, traces
from watchtower.server.endpoints import Endpoint, Open

_OBSERVED = Permission.OBSERVED_READ
_ALERTS = Permission.ALERTS_READ
_LEDGER = Permission.LEDGER_READ

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
    Endpoint("POST", "/login", Open.PUBLIC, signing_in.login, "Sign in.", body=signing_in.LoginForm, kind="page"),
    Endpoint("GET", "/login/{file}", Open.PUBLIC, pages.static, "Style and icon of the sign-in page.", kind="page"),
    Endpoint("POST", "/logout", _ALERTS, signing_in.logout, "Sign out.", body=signing_in.LogoutForm, kind="page"),
    Endpoint("GET", "/", _ALERTS, pages.now, "What is broken now.", kind="page"),
    Endpoint("GET", "/incidents/{id}", _ALERTS, pages.incident, "One incident.", kind="page"),
    Endpoint("GET", "/runs/{id}", _OBSERVED, pages.run, "One run.", kind="page"),
    Endpoint("GET", "/static/{file}", _ALERTS, pages.static, "Style and icon.", kind="page"),
)

_API = (
    Endpoint(
        "GET", "/api/v1/runs", _OBSERVED, observed.list_runs, "Runs, newest first.", observed.RunList, observed.RunQuery
    ),
    Endpoint(
        "GET",
        "/api/v1/runs/{id}",
        _OBSERVED,
        observed.get_run,
        "One run with the attempts of its tasks and what it wrote. A merged id redirects (308).",
        observed.RunDetail,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/traces",
        _OBSERVED,
        traces.list_traces,
        "Traces of one run, oldest first.",
        traces.TraceList,
        traces.TraceQuery,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/traces/{id}",
        _OBSERVED,
        traces.get_trace,
        "One trace: what it comes to by operation, and the spans that are kept.",
        traces.TraceDetail,
        statuses=(404,),
    ),
    Endpoint(
        "GET", "/api/v1/jobs", _OBSERVED, observed.list_jobs, "Jobs by name.", observed.JobList, observed.JobQuery
    ),
    Endpoint("GET", "/api/v1/jobs/{id}", _OBSERVED, observed.get_job, "One job.", observed.JobItem, statuses=(404,)),
    Endpoint(
        "GET",
        "/api/v1/datasets",
        _OBSERVED,
        observed.list_datasets,
        "Datasets by name.",
        observed.DatasetList,
        observed.DatasetQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/datasets/{id}",
        _OBSERVED,
        observed.get_dataset,
        "One dataset.",
        observed.DatasetItem,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/alerts",
        _ALERTS,
        alerting.list_alerts,
        "Episodes of alerts, newest first.",
        alerting.AlertList,
        alerting.AlertQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/alerts/{fingerprint}",
        _ALERTS,
        alerting.get_alert,
        "The newest episode of one alert.",
        alerting.AlertItem,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/incidents",
        _ALERTS,
        alerting.list_incidents,
        "Incidents, newest first.",
        alerting.IncidentList,
        alerting.IncidentQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/incidents/{id}",
        _ALERTS,
        alerting.get_incident,
        "One incident with its alerts, cause, impact, tickets, deliveries and timeline.",
        alerting.IncidentDetail,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/incidents/{id}/acknowledge",
        Permission.INCIDENTS_RESPOND,
        alerting.acknowledge,
        "I have it: nobody else is rung until `hours` are over.",
        alerting.IncidentItem,
        body=alerting.AckBody,
        statuses=(404, 409),
    ),
    Endpoint(
        "POST",
        "/api/v1/incidents/{id}/unacknowledge",
        Permission.INCIDENTS_RESPOND,
        alerting.unacknowledge,
        "Take it back: everybody is told again.",
        alerting.IncidentItem,
        statuses=(404, 409),
    ),
    Endpoint(
        "GET",
        "/api/v1/silences",
        _ALERTS,
        alerting.list_silences,
        "Silences, the last to end first.",
        alerting.SilenceList,
        alerting.SilenceQuery,
    ),
    Endpoint(
        "POST",
        "/api/v1/silences",
        Permission.SILENCES_WRITE,
        alerting.put_silence,
        "Make a silence, or change the one whose `id` is given.",
        alerting.SilenceItem,
        body=alerting.SilenceBody,
    ),
    Endpoint(
        "GET",
        "/api/v1/silences/{id}",
        _ALERTS,
        alerting.get_silence,
        "One silence.",
        alerting.SilenceItem,
        statuses=(404,),
    ),
    Endpoint(
        "DELETE",
        "/api/v1/silences/{id}",
        Permission.SILENCES_WRITE,
        alerting.end_silence,
        "End a silence now.",
        alerting.SilenceItem,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/costs",
        Permission.COSTS_READ,
        costs.list_costs,
        "What bills add up to, by day, service, account, source or tag; also as it was known on a date.",
        costs.CostList,
        costs.CostQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/budgets",
        Permission.COSTS_READ,
        costs.list_budgets,
        "Budgets by name: how much of what may be spent is spent, and how far the bill reaches.",
        costs.BudgetList,
        costs.BudgetQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/deliveries",
        _LEDGER,
        ledger.list_deliveries,
        "Obligations, newest first.",
        ledger.DeliveryList,
        ledger.DeliveryQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/deliveries/{id}",
        _LEDGER,
        ledger.get_delivery,
        "One obligation.",
        ledger.DeliveryItem,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/deliveries/{id}/replay",
        Permission.DELIVERIES_REPLAY,
        ledger.replay_delivery,
        "Try a dead letter again.",
        ledger.DeliveryItem,
        statuses=(404, 409),
    ),
    Endpoint(
        "GET",
        "/api/v1/ledger",
        _LEDGER,
        ledger.list_ledger,
        "All obligations, oldest first, and how many stand in each state.",
        ledger.LedgerList,
        ledger.DeliveryQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/audit",
        Permission.AUDIT_READ,
        administration.list_audit,
        "The audit chain, newest first.",
        administration.AuditList,
        administration.AuditQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/audit/verify",
        Permission.AUDIT_READ,
        administration.verify_audit,
        "Recompute the audit chain; say the first thing that is wrong.",
        administration.AuditVerdict,
        administration.VerifyQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/tokens",
        Permission.TOKENS_READ,
        administration.list_tokens,
        "Tokens, newest first, without their secrets.",
        administration.TokenList,
        administration.TokenQuery,
    ),
    Endpoint(
        "POST",
        "/api/v1/tokens",
        Permission.TOKENS_WRITE,
        administration.create_token,
        "Make a token; its secret is shown this once.",
        administration.CreatedToken,
        body=administration.TokenBody,
    ),
    Endpoint(
        "GET",
        "/api/v1/tokens/{id}",
        Permission.TOKENS_READ,
        administration.get_token,
        "One token.",
        administration.TokenItem,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/tokens/{id}/revoke",
        Permission.TOKENS_WRITE,
        administration.revoke_token,
        "Revoke a token, at once.",
        administration.TokenItem,
        statuses=(404,),
    ),
    Endpoint(
        "GET", "/api/v1/people", Permission.PEOPLE_WRITE, people.list_people, "Who may sign in.", people.PersonList
    ),
    Endpoint(
        "POST",
        "/api/v1/people",
        Permission.PEOPLE_WRITE,
        people.put_person,
        "Add someone, or change their name, role and team.",
        people.PersonItem,
        body=people.PersonBody,
    ),
    Endpoint(
        "DELETE",
        "/api/v1/people/{id}",
        Permission.PEOPLE_WRITE,
        people.remove_person,
        "Remove someone; their sessions end at once.",
        people.Removed,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/people/{id}/link",
        Permission.PEOPLE_WRITE,
        people.create_link,
        "A one-time link by which they sign in.",
        people.LinkItem,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/-/reload",
        Permission.CONFIG_RELOAD,
        administration.reload,
        "Read the configuration anew; on a fault the one in force stays.",
        administration.Reloaded,
        statuses=(409, 422),
    ),
    Endpoint("GET", "/openapi.json", _OBSERVED, lambda _: openapi.answer(ENDPOINTS), "This document."),
)

ENDPOINTS: tuple[Endpoint, ...] = (*_HEALTH, *_HOOKS, *_PAGES, *_API)
