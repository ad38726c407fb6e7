"""`/livez`: this process answers. `/readyz`: it can do its work. `/metrics`: how it is doing."""

import logging
from collections.abc import Callable, Mapping

import msgspec

from watchtower import __version__
from watchtower.model.access import Permission
from watchtower.server.endpoints import Call, Raw
from watchtower.server.services import Services
from watchtower.store.migrations import Standing, state
from watchtower.telemetry.exposition import Samples, render
from watchtower.telemetry.metrics import BUILD, CLOCK

log = logging.getLogger(__name__)

WRITE_TIMEOUT_S = 2.0


class Readiness(msgspec.Struct, frozen=True):
    """checks: by name `ok` or `failed`; what exactly failed is in the log, since this page needs no permission.
    round_trip_age_s: since an event of Watchtower's own last went through the whole path; null: none did yet.
    stuck: kinds of work (`backup`, `bill`, `poll`) of which one hangs. Events are taken and told all the same, so this
    process is ready."""

    ready: bool
    checks: dict[str, str]
    round_trip_age_s: float | None
    stuck: tuple[str, ...] = ()


def livez(_: Call) -> Raw:
    return Raw(b"ok\n", "text/plain; charset=utf-8")


def readyz(call: Call) -> Raw:
    """200 if every check passes, else 503. Events are taken either way: without a store they go to the spool."""
    services = call.services
    checks: Mapping[str, Callable[[], str | None]] = {
        "store": lambda: _store(services),
        "writer": lambda: _writer(services),
        **services.ready,
    }
    results = {name: _passes(name, check) for name, check in checks.items()}
    ready = all(results.values())
    age_s = services.round_trip_age_s()
    checked = {name: "ok" if passed else "failed" for name, passed in results.items()}
    answer = Readiness(ready, checked, None if age_s is None else round(age_s, 1), tuple(services.stuck()))
    return Raw(msgspec.json.encode(answer), "application/json", 200 if ready else 503)


class MetricsQuery(msgspec.Struct, frozen=True):
    """state: `false` leaves out what is read from the store."""

    state: bool = True


def metrics(call: Call) -> Raw:
    """Watchtower's own metrics, and what it knows of pipelines for those who may see them: nobody without a token, and
    of a team only its own."""
    CLOCK.set(call.now.timestamp())
    BUILD.labels(__version__).set(1)
    more: Samples | None = None
    if call.asked(MetricsQuery).state and call.principal.may(Permission.METRICS_READ):
        more = call.services.state_metrics.samples(timeout_s=_scrape_timeout_s(call.headers))
        if call.principal.team is not None:
            more = more.of_team(call.principal.team)
    body, content_type = render(call.headers.get("accept", ""), more)
    return Raw(body, content_type)


def _scrape_timeout_s(headers: Mapping[str, str]) -> float | None:
    """Half of what Prometheus says that it waits for: rendering and the network need their part too."""
    try:
        said = float(headers.get("x-prometheus-scrape-timeout-seconds", ""))
    except ValueError:
        return None
    return said / 2 if 0 < said < 3600 else None


def _store(services: Services) -> str | None:
    """The store answers and has the schema that this program needs, or one beside which it can be served."""
    found = state(services.database)
    if found.kind in (Standing.CURRENT, Standing.EXPAND):
        return None
    return f"the schema is at step {found.current}, this program needs {found.target}"


def _writer(services: Services) -> str | None:
    """The writing thread commits."""
    services.append(()).result(WRITE_TIMEOUT_S)
    return None


def _passes(name: str, check: Callable[[], str | None]) -> bool:
    try:
        fault = check()
    except Exception as error:
        fault = str(error) or type(error).__name__
    if fault is not None:
        log.warning("not ready", extra={"check": name, "why": fault})
    return fault is None
