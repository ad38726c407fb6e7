"""A circuit breaker for one destination: a provider that is away is asked with one notice now and then, not with all.

Without it a thousand waiting notices would each wait for their own time-out. Times are boot time in seconds.
"""

from dataclasses import dataclass

from watchtower.errors import DeliveryError, Reason, Transient

OPENS_AFTER = 3  # failures in a row that are the provider's or the way's, not the notice's
FIRST_PAUSE_S = 1.0
MOST_PAUSE_S = 60.0  # when the provider is back, this is the longest time until somebody notices

_AWAY = frozenset({Reason.TIMEOUT, Reason.CONNECT, Reason.TLS, Reason.SERVER_ERROR})


@dataclass(slots=True)
class Breaker:
    """until: no notice is sent before this boot time. One that is sent then tells whether the provider is back."""

    failures: int = 0
    until: float = 0.0

    def failed(self, error: DeliveryError, boottime: float) -> None:
        """Retry-After holds for the whole destination: its other notices would be refused as well."""
        if isinstance(error, Transient) and error.retry_after_s is not None:
            self.until = max(self.until, boottime + error.retry_after_s)
        if error.reason not in _AWAY:
            return
        self.failures += 1
        if self.failures >= OPENS_AFTER:
            pause = min(MOST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.failures - OPENS_AFTER, 16))
            self.until = max(self.until, boottime + pause)

    def succeeded(self) -> None:
        self.failures, self.until = 0, 0.0
