"""Addresses of Watchtower's own pages, made in one place: alert texts print them, the web UI serves them.

external_url: how people reach the web UI (`server.external_url`), with or without a trailing slash; "" gives "".
"""

from urllib.parse import quote


def incident_url(external_url: str, incident_id: str | None) -> str:
    """The page of one incident; "" when either is unknown."""
    if not external_url or not incident_id:
        return ""
    return f"{external_url.rstrip('/')}/incidents/{quote(incident_id, safe='')}"
