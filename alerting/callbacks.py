"""Signed links that a provider is given to call back, each good for one notice, one purpose, one number and two days.

`<subject>.<expires>.<mac>`: the subject is an id of ours, expires a Unix time, mac an HMAC-SHA256 under a key that only
Watchtower has. What the link is bound to (the number that is called) is part of the mac and stands nowhere in the link.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watchtower.model.hook import Distrust, HookRefused
from watchtower.ports import Callbacks

LIFE = timedelta(days=2)  # a text may wait at its provider for 36 h; a call is over within minutes
_MAC_DIGITS = 40  # 160 bits


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a link is good for. bound: what the provider must name when it calls, e.g. the number that was called."""

    hook: str
    action: str
    bound: str


def link(callbacks: Callbacks, purpose: Purpose, subject: str, now: datetime) -> str:
    """The whole address."""
    expires = int((now + LIFE).timestamp())
    mac = _mac(callbacks.key, purpose, subject, expires)
    return f"{callbacks.url}/{purpose.hook}/{purpose.action}/{subject}.{expires}.{mac}"


def subject_of(callbacks: Callbacks, purpose: Purpose, token: str, now: datetime) -> str:
    """The id that token was made for. Raises HookRefused: it is not ours, was changed, is good for something else, or
    its time is over."""
    subject, _, rest = token.partition(".")
    digits, _, mac = rest.partition(".")
    if not (subject and digits.isascii() and digits.isdigit() and len(digits) <= 12):
        raise HookRefused(Distrust.TOKEN, "the link is not one of ours")
    wanted = _mac(callbacks.key, purpose, subject, int(digits))
    if not hmac.compare_digest(wanted.encode(), mac.encode("utf-8", "surrogatepass")):
        raise HookRefused(Distrust.TOKEN, "the link was not made for this notice, purpose and number")
    if now.timestamp() >= int(digits):
        ended = datetime.fromtimestamp(int(digits), UTC)
        raise HookRefused(Distrust.EXPIRED, f"the link of {subject} expired at {ended:%Y-%m-%d %H:%M} UTC")
    return subject


def _mac(key: bytes, purpose: Purpose, subject: str, expires: int) -> str:
    parts = (purpose.hook, purpose.action, purpose.bound, subject, str(expires))
    raws = [part.encode("utf-8", "surrogatepass") for part in parts]
    said = b"".join(len(raw).to_bytes(4, "big") + raw for raw in raws)
    return hmac.digest(key, said, hashlib.sha256).hex()[:_MAC_DIGITS]
