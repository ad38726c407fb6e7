"""Who is asking: bearer tokens from memory, sessions from the store.

Tokens are kept in memory as HMACs, refreshed every two seconds, so that ingest answers also while the store is away.
Paging fails open and reading fails closed (SR-33): what was known stays good for ingest, a session that cannot be
looked up is a 503.
"""

import hmac
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchtower.errors import StoreError
from watchtower.model.access import LOCAL, ROLE_PERMISSIONS, Principal, Token
from watchtower.ports import Clock
from watchtower.store import access
from watchtower.store.access import TokenDigest
from watchtower.store.database import Database
from watchtower.store.keys import Keys
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

REFRESH_S = 2.0
MOST_PROVEN = 1_000  # headers whose token need not be worked out anew until the next refresh
UNKNOWN_LOOKUPS = 20  # per refresh: a flood of made-up tokens must not become a flood of queries
_USE_EVERY = timedelta(minutes=1)
_TOUCH_EVERY = timedelta(minutes=1)


def is_local_socket(scope: Mapping[str, Any]) -> bool:
    """Whether a request came by the Unix socket in the state directory, which only Watchtower's own user may open."""
    server = scope.get("server")
    return server is not None and server[1] is None


class Unauthenticated(Exception):
    """reason: a word for the metric; the message is for the sender."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session in a request. form_token: what its forms must carry."""

    principal: Principal
    name: str
    form_token: str


class Authenticator:
    """Thread-safe. `start` loads the tokens and keeps them fresh; `stop` writes down when they were used last."""

    def __init__(self, database: Database, clock: Clock, keys: Keys, *, enabled: bool = True) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self.enabled = enabled
        self._tokens: dict[str, TokenDigest] | None = None
        self._lookups = UNKNOWN_LOOKUPS
        self._proven: dict[str, tuple[Token, Principal]] = {}  # by header, since the last refresh
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, datetime] = {}
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- tokens ---------------------------------------------------------------------------------------------------

    def bearer(self, header: str) -> Principal:
        """Who sent this Authorization header. Raises Unauthenticated, or StoreError if tokens were never read."""
        if not self.enabled:
            return LOCAL
        now = self._clock.now()
        proven = self._proven  # taken before the tokens: what is proven by old ones is noted where nobody looks again
        seen = proven.get(header)
        if seen is not None and seen[0].is_live(now):
            self._used[seen[0].id] = now
            return seen[1]
        scheme, _, text = header.partition(" ")
        text = text.strip()
        if not text:
            raise Unauthenticated("missing", "send a token: `Authorization: Bearer wt_…` (watchtower token create)")
        if scheme.lower() != "bearer":
            raise Unauthenticated("scheme", f"authorization scheme {scheme[:20]!r} is unknown; send `Bearer wt_…`")
        ident = access.token_id(text)
        if ident is None:
            raise Unauthenticated("malformed", "this is no whole token: check that it was copied to its end")
        token, principal = self._principal(ident, text)
        if len(proven) < MOST_PROVEN:
            proven[header] = (token, principal)
        return principal

    def check(self, secret: str) -> Principal:
        """Who pings the check of this UUID (in its canonical form). Raises as bearer does."""
        return self._principal(access.check_token_id(self._keys, secret), secret)[1]

    def _principal(self, ident: str, text: str) -> tuple[Token, Principal]:
        known, now = self._known(ident), self._clock.now()
        if known is None or not hmac.compare_digest(known.digest, access.token_digest(self._keys, text)):
            raise Unauthenticated("unknown", "the token is unknown, was revoked or has expired; create another one")
        if not known.token.is_live(now):
            raise Unauthenticated("expired", "the token has expired; create another one")
        self._used[ident] = now
        token = known.token
        return token, Principal(f"token:{ident}", token.permissions, token.team, token.source, token.check)

    def refresh(self) -> None:
        """Read the tokens anew, now."""
        with self._database.read() as connection:
            tokens = access.live_tokens(connection, self._clock.now())
        with self._guard:
            self._tokens = tokens
            self._lookups = UNKNOWN_LOOKUPS
            self._proven = {}

    def _known(self, ident: str) -> TokenDigest | None:
        tokens = self._tokens
        if tokens is None:
            self.refresh()
            tokens = self._tokens or {}
        found = tokens.get(ident)
        if found is None and self._may_look_up():
            try:  # it may have been made since the last refresh
                self._refresh_keeping_budget()
            except StoreError:
                return None
            found = (self._tokens or {}).get(ident)
        return found

    def _may_look_up(self) -> bool:
        with self._guard:
            self._lookups -= 1
            return self._lookups >= 0

    def _refresh_keeping_budget(self) -> None:
        left = self._lookups
        self.refresh()
        with self._guard:
            self._lookups = left

    # -- sessions -------------------------------------------------------------------------------------------------

    def session(self, cookie: str) -> SignedIn | None:
        """The person of this cookie; None if the session is over. Raises StoreError if it cannot be looked up."""
        now = self._clock.now()
        with self._database.read() as connection:
            found = access.find_session(connection, self._keys, cookie, now)
        if found is None:
            return None
        if now - found.last_seen_at >= _TOUCH_EVERY:
            self._database.submit_unit(lambda c: access.touch_session(c, self._keys, cookie, now))
        person = found.person
        principal = Principal(f"person:{person.id}", ROLE_PERMISSIONS[person.role], person.team)
        return SignedIn(principal, person.name, access.form_token(self._keys, cookie))

    def is_form_token(self, cookie: str, sent: str) -> bool:
        wanted = access.form_token(self._keys, cookie)
        return hmac.compare_digest(wanted.encode(), sent.encode("utf-8", "surrogatepass"))

    # -- upkeep ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.enabled:
            self._thread = threading.Thread(target=self._run, name="token-refresh", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._quietly(self._note_uses)

    def _run(self) -> None:
        while not self._stopping:
            self._quietly(self.refresh)
            self._quietly(self._note_uses)
            self._wake.wait(REFRESH_S)

    def _note_uses(self) -> None:
        """At most once a minute and token."""
        fresh = {
            ident: at
            for ident, at in list(self._used.items())
            if ident not in self._noted or at - self._noted[ident] >= _USE_EVERY
        }
        if fresh:
            self._noted |= fresh
            self._database.submit_unit(lambda c: access.note_uses(c, fresh))

    def _quietly(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreError as error:
            log.warning("tokens could not be refreshed; those known stay good", extra={"why": str(error)})
        except Exception:
            log.exception("tokens could not be refreshed; those known stay good")


class Attempts:
    """At most `allowed` failures a minute and address, then a growing delay (SR-30). For signing in only: what pages
    people is never locked out. Old entries are forgotten, so that the table stays small."""

    def __init__(self, clock: Clock, allowed: int = 5, most: int = 10_000) -> None:
        self._clock = clock
        self._allowed = allowed
        self._most = most
        self._failures: dict[str, tuple[int, float]] = {}
        self._guard = threading.Lock()

    def wait_s(self, address: str) -> int:
        """Seconds until address may try again; 0: now."""
        with self._guard:
            count, last = self._failures.get(address, (0, 0.0))
        if count < self._allowed:
            return 0
        delay = min(900.0, 60.0 * 2 ** (count - self._allowed))
        return max(0, round(last + delay - self._clock.boottime()))

    def failed(self, address: str) -> None:
        metrics.AUTH_FAILURES.labels(reason="login").inc()
        now = self._clock.boottime()
        with self._guard:
            count, last = self._failures.get(address, (0, now))
            fresh = count < self._allowed and now - last > 60.0
            self._failures[address] = (1 if fresh else count + 1, now)
            while len(self._failures) > self._most:
                self._failures.pop(next(iter(self._failures)))

    def succeeded(self, address: str) -> None:
        with self._guard:
            self._failures.pop(address, None)
