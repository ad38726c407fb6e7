"""Help desks. One line per ticket system here; `alerting.channels` offers each as a channel of the same name."""

from typing import Any

from alerting.tickets.request_tracker import RequestTracker

TICKET_SYSTEMS: dict[str, Any] = {RequestTracker.name: RequestTracker}
