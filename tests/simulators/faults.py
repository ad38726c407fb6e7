"""The ways in which providers fail, and what each must mean to a sender."""

from dataclasses import dataclass
from enum import StrEnum

from watchtower.errors import DeliveryError, Permanent, Transient


class Fault(StrEnum):
    DNS_FAIL = "its name is not found"
    CONNECT_TIMEOUT = "nobody takes the connection"
    TLS_EXPIRED = "its certificate is over"
    TLS_WRONG_NAME = "its certificate is somebody else's"
    REFUSE = "refuse"  # nobody listens
    BLACK_HOLE = "black hole"  # the connection is taken and nothing is read or said
    RESET_BEFORE_BODY = "reset before the body is read"
    RESET_AFTER_BODY = "reset after the body, not accepted"
    ACCEPT_THEN_RESET = "accept, then reset"
    ACCEPT_THEN_TIMEOUT = "accept, then silence"
    ACCEPT_THEN_500 = "accept, then 500"
    ERROR_500 = "500"
    RATE_LIMITED_SECONDS = "429 with seconds"
    RATE_LIMITED_DATE = "429 with a date"
    RATE_LIMITED = "429 without a header"
    UNAVAILABLE = "503"
    BAD_GATEWAY = "502 with HTML"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    REDIRECT = "302 to a denied address"
    SLOW_DRIP = "accept, then an answer of a byte at a time"
    HUGE_ANSWER = "accept, then an answer of 32 MB"
    GZIP_BOMB = "accept, then an answer that inflates to 64 MB"
    INVALID_JSON = "accept, then JSON that ends early"
    WRONG_TYPE = "accept, then a list where an object is due"
    EMPTY_200 = "accept, then an empty 200"


ON_THE_WAY = frozenset({Fault.DNS_FAIL, Fault.CONNECT_TIMEOUT, Fault.TLS_EXPIRED, Fault.TLS_WRONG_NAME})
"""Met before the provider is: a `Front` makes them."""

AT_THE_PROVIDER = tuple(fault for fault in Fault if fault not in ON_THE_WAY)

ACCEPTED = frozenset(
    {
        *(Fault.ACCEPT_THEN_RESET, Fault.ACCEPT_THEN_TIMEOUT, Fault.ACCEPT_THEN_500, Fault.SLOW_DRIP),
        *(Fault.HUGE_ANSWER, Fault.GZIP_BOMB, Fault.INVALID_JSON, Fault.WRONG_TYPE, Fault.EMPTY_200),
    }
)
"""After these the effect is at the provider, though the sender was not told so."""


@dataclass(frozen=True, slots=True)
class Expected:
    """unknown None: either is right. retry_after_s: what the sender must have understood."""

    error: type[DeliveryError]
    unknown: bool | None = False
    retry_after_s: float | None = None


EXPECTED: dict[Fault, Expected] = {
    Fault.DNS_FAIL: Expected(Transient, unknown=False),
    Fault.CONNECT_TIMEOUT: Expected(Transient, unknown=False),
    Fault.TLS_EXPIRED: Expected(Transient, unknown=False),
    Fault.TLS_WRONG_NAME: Expected(Transient, unknown=False),
    Fault.REFUSE: Expected(Transient, unknown=False),
    Fault.BLACK_HOLE: Expected(Transient, unknown=True),
    Fault.RESET_BEFORE_BODY: Expected(Transient, unknown=None),
    Fault.RESET_AFTER_BODY: Expected(Transient, unknown=True),
    Fault.ACCEPT_THEN_RESET: Expected(Transient, unknown=True),
    Fault.ACCEPT_THEN_TIMEOUT: Expected(Transient, unknown=True),
    Fault.ACCEPT_THEN_500: Expected(Transient, unknown=True),
    Fault.ERROR_500: Expected(Transient, unknown=True),
    Fault.RATE_LIMITED_SECONDS: Expected(Transient, retry_after_s=7),
    Fault.RATE_LIMITED_DATE: Expected(Transient, retry_after_s=90),
    Fault.RATE_LIMITED: Expected(Transient),
    Fault.UNAVAILABLE: Expected(Transient, unknown=None, retry_after_s=11),
    Fault.BAD_GATEWAY: Expected(Transient, unknown=True),
    Fault.UNAUTHORIZED: Expected(Permanent),
    Fault.FORBIDDEN: Expected(Permanent),
    Fault.NOT_FOUND: Expected(Permanent),
    Fault.REDIRECT: Expected(Permanent),
    Fault.SLOW_DRIP: Expected(Transient, unknown=True),
    Fault.HUGE_ANSWER: Expected(Permanent, unknown=True),
    Fault.GZIP_BOMB: Expected(Permanent, unknown=True),
    Fault.INVALID_JSON: Expected(Transient, unknown=True),
    Fault.WRONG_TYPE: Expected(Transient, unknown=True),
    Fault.EMPTY_200: Expected(Transient, unknown=True),
}
