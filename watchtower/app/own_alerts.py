"""Watchtower's own alerts: told through the store and the routes like any other, and ended when nothing is wrong."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from watchtower.errors import StoreError
from watchtower.model.alert import Alert
from watchtower.model.delivery import Plan, Raised
from watchtower.ports import Clock
from watchtower.store import alerts
from watchtower.store.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnAlerts:
    """plan: where they go under the configuration in force. A store that is away costs the alert and not its caller:
    that nothing can be stored is told by the emergency channel."""

    _database: Database
    _clock: Clock
    _plan: Plan

    def tell(self, alert: Alert) -> None:
        raised = Raised(alert, tuple(self._plan(alert.labels)))
        now = self._clock.now()
        self._write(alert.rule, lambda connection: alerts.raise_once(connection, raised, now))

    def end(self, fingerprint: str) -> None:
        now = self._clock.now()
        self._write(fingerprint, lambda connection: alerts.clear(connection, [fingerprint], now))

    def end_unless(self, rule: str, still: Callable[[Alert], bool]) -> None:
        """Those of rule of which nothing is watched any more."""
        now = self._clock.now()

        def clear(connection: Connection) -> int:
            gone = [each.fingerprint for each in alerts.open_by_rule(connection, rule) if not still(each)]
            return alerts.clear(connection, gone, now)

        self._write(rule, clear)

    def _write(self, what: str, change: Callable[[Connection], object]) -> None:
        try:
            self._database.write(change)
        except (StoreError, TimeoutError) as away:
            log.warning("an alert of Watchtower's own could not be written", extra={"alert": what, "why": str(away)})
