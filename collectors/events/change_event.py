"""A change, told by whoever made it: `{"change": "orders 1.4", "commit": "abc1234", "pipelines": ["orders_*"]}`."""

from datetime import datetime
from typing import Any, cast

from collectors.events.fields import Fields, Json, Unfit
from collectors.openlineage.texts import web_url
from collectors.scrub import scrub_text
from watchtower.model.change import Change


def read_change_event(said: Json, received_at: datetime, source: str | None) -> Change:
    """Raises Unfit."""
    fields = Fields(said)
    title = fields.text("change", 256)
    if title is None:
        raise Unfit("no_change", 'a change says what it is: {"change": "orders 1.4", "commit": "abc1234"}')
    named: Any = said.get("pipelines") or []
    patterns = cast("list[Any]", named if isinstance(named, list) else [named])
    return Change(
        at=min(fields.moment("at") or received_at, received_at),
        source=source or fields.text("source", 64) or "events",
        kind=fields.text("kind", 64) or "deploy",
        title=scrub_text(title),
        commit=fields.text("commit", 64),
        actor=fields.text("actor", 256),
        url=web_url(fields.text("url", 2_048)),
        environment=fields.text("environment", 256),
        repository=fields.text("repository", 256),
        pipelines=tuple(pattern[:512] for pattern in patterns if isinstance(pattern, str))[:100],
        team=fields.text("team", 256),
    )
