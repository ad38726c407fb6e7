"""Addresses of Watchtower's own pages, made in one place: alert texts print them, the web UI serves them.

external_url: how people reach the web UI (`server.external_url`), with or without a trailing slash; "" gives "".
"""

from urllib.parse import quote, urlencode

from watchtower.model.labels import Labels, Matcher


def incident_url(external_url: str, incident_id: str | None) -> str:
    """The page of one incident; "" when either is unknown."""
    if not external_url or not incident_id:
        return ""
    return f"{external_url.rstrip('/')}/incidents/{quote(incident_id, safe='')}"


def silence_url(external_url: str, labels: Labels) -> str:
    """The form for a new silence, filled with one equality matcher per label, sorted by name."""
    if not external_url:
        return ""
    matchers = [("matcher", str(Matcher(name, "=", labels[name]))) for name in sorted(labels)]
    return f"{external_url.rstrip('/')}/silences/new?{urlencode(matchers)}"
