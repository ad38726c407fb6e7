"""The four ways in which work can end badly, and the closed list of reasons a delivery can fail for.

A message names the thing, the value and the remedy. Catch the narrowest class at the point that can act; broad
catches stand only at the loop edges (one request, one evaluation, one delivery).
"""

from dataclasses import dataclass
from enum import StrEnum


class WatchtowerError(Exception):
    """Base of every error that is shown to a user without a traceback."""


class UsageError(WatchtowerError):
    """A command cannot do what was asked; the message says what to do instead. Exit code 2."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a configuration file. path: dotted, e.g. `rules[0].finish_by`; line: 1-based, None if unknown."""

    path: str
    message: str
    remedy: str = ""
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file or line
        text = f"{self.path}: {self.message}" if self.path else self.message
        return (f"{where}: " if where else "") + text + (f" ({self.remedy})" if self.remedy else "")


class ConfigError(WatchtowerError):
    """The configuration is refused as a whole; `faults` lists all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class BadInput(WatchtowerError):
    """Input that can never be accepted as it is. field: where; the sender is told, and nothing of it is stored."""


class StoreError(WatchtowerError):
    """The store cannot be used: locked, read-only, full, corrupt or of another version. The message has the remedy."""


class StoreUnavailable(StoreError):
    """The store may work again later: locked, away, or out of space. Work is kept elsewhere and repeated."""


class StoreDamaged(StoreError):
    """What the store holds cannot be believed any more: damaged, or its file was taken away. Nothing is read from it or
    written to it until it is restored and Watchtower is started again."""


class Reason(StrEnum):
    """Why a delivery attempt failed. Closed: it is also a metric label and a field of the ledger."""

    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    BAD_ANSWER = "bad_answer"
    REFUSED_ADDRESS = "refused_address"
    TOO_LARGE = "too_large"
    UNKNOWN = "unknown"


class DeliveryError(WatchtowerError):
    """A provider did not take a notice. outcome_unknown: it may have been taken all the same, so look up first."""

    def __init__(self, reason: Reason, message: str, *, outcome_unknown: bool = False) -> None:
        self.reason = reason
        self.outcome_unknown = outcome_unknown
        super().__init__(message)


class Transient(DeliveryError):
    """Worth repeating. retry_after_s: what the provider asked for, seconds from now; None: the backoff decides."""

    def __init__(
        self, reason: Reason, message: str, *, retry_after_s: float | None = None, outcome_unknown: bool = False
    ) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason, message, outcome_unknown=outcome_unknown)


class Permanent(DeliveryError):
    """Repeating the same request cannot help; a person must act. The obligation becomes a dead letter."""
