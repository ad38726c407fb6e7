"""What an answer's status and Retry-After mean for a delivery (docs/channels.md, "What an answer means").

Source: RFC 9110 §10.2.3 (Retry-After) and §15 (status codes).
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from watchtower.errors import Permanent, Reason, Transient
from watchtower.ports import HttpAnswer

_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_EXCERPT = 200  # characters of an answer that people are shown
_PERMANENT = {
    401: Reason.AUTH,
    403: Reason.AUTH,
    407: Reason.AUTH,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    413: Reason.TOO_LARGE,
}


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from now (aware UTC) that a Retry-After header asks for, never negative; None if absent or unreadable.
    headers: names in lower case."""
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a number of a hundred digits
        return None
    seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def raise_for_status(answer: HttpAnswer, now: datetime, what: str) -> HttpAnswer:
    """answer itself if it is 2xx. Raises Transient for 408, 425, 429 and 5xx, Permanent for all else. what: names the
    provider and the call. After 408 and 5xx the provider may have acted; 425 and 429 mean that it did not."""
    status = answer.status
    if 200 <= status < 300:
        return answer
    said = f"{what}: HTTP {status}{_excerpt(answer.body)}"
    if status in (408, 425, 429) or status >= 500:
        reason = {408: Reason.TIMEOUT, 429: Reason.RATE_LIMITED}.get(status, Reason.SERVER_ERROR)
        unknown = status not in (425, 429)
        raise Transient(reason, said, retry_after_s=retry_after_s(answer.headers, now), outcome_unknown=unknown)
    raise Permanent(_PERMANENT.get(status, Reason.REJECTED), said)


def _excerpt(body: bytes) -> str:
    text = "".join(char if char.isprintable() else " " for char in body[: 2 * _EXCERPT].decode("utf-8", "replace"))
    words = " ".join(text.split())
    if len(body) > 2 * _EXCERPT or len(words) > _EXCERPT:
        # Between words: a secret that is sent back is whole, so that it is known, or not there at all.
        words = words[:_EXCERPT].rpartition(" ")[0]
    return f" {words}" if words else ""
