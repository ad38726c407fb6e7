"""Backups that a configuration asks for: made when due, the oldest let go, and told where one cannot be made."""

import logging
from datetime import datetime
from pathlib import Path

from alerting import meta
from watchtower.app import backups
from watchtower.app.own_alerts import OwnAlerts
from watchtower.config.model import Config
from watchtower.config.places import store_url
from watchtower.errors import WatchtowerError
from watchtower.ports import Clock
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)


def back_up(config: Config, state: Path, clock: Clock, own_alerts: OwnAlerts, now: datetime) -> None:
    """state: the state directory. What goes wrong is told by an alert, which the next backup that is made ends, and
    raised: WatchtowerError or OSError."""
    wanted = config.backup
    if wanted is None:
        return
    to = config.base_dir / wanted.to
    try:
        made = backups.make(store_url(config, state), state, to, clock, with_keys=wanted.with_keys)
    except (WatchtowerError, OSError) as error:
        own_alerts.tell(meta.backup_failed(str(error), now))
        raise
    backups.let_go(to, wanted.keep)
    metrics.BACKUP_LAST.set(now.timestamp())
    log.info("a backup was made", extra={"path": str(made.path), "bytes": made.bytes})
    own_alerts.end(meta.BACKUP_FAILED_FINGERPRINT)
