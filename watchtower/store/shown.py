"""What people are shown, and what is counted: everything but Watchtower's own round trips (model.round_trip)."""

from typing import Final

from sqlalchemy import ColumnElement

from watchtower.model.round_trip import DESTINATION, KIND, RULE
from watchtower.store.schema.alerting import alerts, notices, obligations
from watchtower.store.schema.observed import facts

ALERTS: Final[ColumnElement[bool]] = alerts.c.rule != RULE
OBLIGATIONS: Final[ColumnElement[bool]] = obligations.c.destination != DESTINATION
NOTICES: Final[ColumnElement[bool]] = notices.c.destination != DESTINATION
FACTS: Final[ColumnElement[bool]] = facts.c.kind != KIND
