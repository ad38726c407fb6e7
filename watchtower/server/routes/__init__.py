"""The route table: every path beside ingest, with the permission it needs. What is not here does not exist."""

from watchtower.model.access import Permission
from watchtower.server import openapi
from watchtower.server.endpoints import Endpoint
from watchtower.server.routes import administration, alerts, costs, observed, pages, rules
from watchtower.server.routes.pages import PUBLIC_PATHS, SIGNED_PATHS

__all__ = ["ENDPOINTS", "PUBLIC_PATHS", "SIGNED_PATHS"]

_OPENAPI = Endpoint(
    "GET", "/openapi.json", Permission.OBSERVED_READ, lambda _: openapi.answer(ENDPOINTS), "This document."
)

ENDPOINTS: tuple[Endpoint, ...] = (
    *pages.ENDPOINTS,
    *observed.ENDPOINTS,
    *alerts.ENDPOINTS,
    *costs.ENDPOINTS,
    *rules.ENDPOINTS,
    *administration.ENDPOINTS,
    _OPENAPI,
)
