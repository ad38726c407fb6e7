"""Whose token it is: what is refused and why, for how long a token that is over may pass, and when a use is noted."""

import threading
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from watchtower.clock import ManualClock
from watchtower.errors import StoreUnavailable
from watchtower.model.access import LOCAL, Permission, Scope
from watchtower.server.authentication import UNKNOWN_LOOKUPS, Authenticator, Unauthenticated
from watchtower.store import access
from watchtower.store.access import NewToken
from watchtower.store.database import Database
from watchtower.store.keys import Keys

KEYS, OTHER_KEYS = Keys.random(), Keys.random()
New = Callable[..., NewToken]


@pytest.fixture
def authenticator(database: Database, clock: ManualClock) -> Authenticator:
    return Authenticator(database, clock, KEYS)


@pytest.fixture
def new(database: Database, clock: ManualClock) -> New:
    """`new(expires_at=…)`: a token that may write events, and is in the store."""

    def made(expires_at: datetime | None = None) -> NewToken:
        options = {"name": "airflow", "scopes": {Scope.INGEST}, "created_by": "person:admin", "now": clock.now()}
        return database.write(lambda c: access.create_token(c, KEYS, expires_at=expires_at, **options))  # pyright: ignore[reportArgumentType]

    return made


def _refusal(authenticator: Authenticator, header: str) -> str | None:
    try:
        authenticator.bearer(header)
    except Unauthenticated as error:
        return error.reason
    return None


def _unknown(number: int) -> str:
    """A token in the right form that was never made."""
    body = f"wt_ingest_{number:012d}_{'a' * 32}"
    return f"Bearer {body}_{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "missing"),
        ("Bearer", "missing"),
        ("Bearer  ", "missing"),
        ("Basic d3Q6eA==", "scheme"),
        ("Bearer wt_ingest_abc", "malformed"),
        ("Bearer x", "malformed"),
    ],
)
def test_a_header_without_a_token_is_refused_with_its_reason(
    authenticator: Authenticator, header: str, reason: str
) -> None:
    assert _refusal(authenticator, header) == reason


def test_a_token_says_who_sends_and_what_may_be_done(authenticator: Authenticator, new: New) -> None:
    made = new()
    for header in (f"Bearer {made.text}", f"bearer  {made.text} "):
        principal = authenticator.bearer(header)
        assert (principal.actor, principal.permissions) == (f"token:{made.token.id}", {Permission.INGEST})


def test_a_check_is_believed_by_its_secret_and_may_only_ping(
    authenticator: Authenticator, database: Database, clock: ManualClock
) -> None:
    made = database.write(
        lambda c: access.create_token(
            c, KEYS, name="cron", scopes={Scope.PING}, created_by="person:admin", now=clock.now(), check="nightly"
        )
    )
    principal = authenticator.check(made.text)
    assert (principal.permissions, principal.check) == ({Permission.PING}, "nightly")
    with pytest.raises(Unauthenticated) as caught:
        authenticator.check("00000000-0000-4000-8000-000000000000")
    assert caught.value.reason == "unknown"


def test_without_access_control_everybody_is_local(database: Database, clock: ManualClock) -> None:
    assert Authenticator(database, clock, KEYS, enabled=False).bearer("") is LOCAL


def test_a_token_of_another_installation_is_unknown(database: Database, clock: ManualClock, new: New) -> None:
    assert _refusal(Authenticator(database, clock, OTHER_KEYS), f"Bearer {new().text}") == "unknown"


def test_a_token_ends_at_its_moment_also_where_it_was_proven_before(
    authenticator: Authenticator, new: New, clock: ManualClock
) -> None:
    header = f"Bearer {new(clock.now() + timedelta(seconds=60)).text}"
    assert _refusal(authenticator, header) is None
    clock.advance(59)
    assert _refusal(authenticator, header) is None
    clock.advance(1)
    assert _refusal(authenticator, header) == "expired"
    authenticator.refresh()
    assert _refusal(authenticator, header) == "unknown"


def test_a_revoked_token_passes_until_the_next_refresh_and_no_longer(
    authenticator: Authenticator, new: New, database: Database, clock: ManualClock
) -> None:
    made = new()
    assert _refusal(authenticator, f"Bearer {made.text}") is None
    database.write(lambda c: access.revoke_token(c, made.token.id, clock.now()))
    authenticator.refresh()
    assert _refusal(authenticator, f"Bearer {made.text}") == "unknown"


def test_a_new_token_passes_at_once_but_a_flood_of_unknown_ones_is_not_looked_up(
    authenticator: Authenticator, new: New
) -> None:
    authenticator.refresh()
    for number in range(UNKNOWN_LOOKUPS - 1):
        assert _refusal(authenticator, _unknown(number)) == "unknown"
    assert _refusal(authenticator, f"Bearer {new().text}") is None
    late = f"Bearer {new().text}"
    assert _refusal(authenticator, late) == "unknown", "the last look-up was used"
    authenticator.refresh()
    assert _refusal(authenticator, late) is None


def test_a_use_is_noted_at_most_once_a_minute(
    authenticator: Authenticator, new: New, database: Database, clock: ManualClock
) -> None:
    made = new()

    def noted() -> datetime | None:
        authenticator.bearer(f"Bearer {made.text}")
        authenticator.stop()  # writes down what was used
        database.write(lambda _: None)  # that comes before this
        with database.read() as connection:
            found = access.get_token(connection, made.token.id)
        return found.last_used_at if found else None

    first = clock.now()
    assert noted() == first
    clock.advance(59)
    assert noted() == first
    clock.advance(1)
    assert noted() == first + timedelta(seconds=60)


def test_while_the_store_is_away_a_new_token_is_unknown_and_a_known_one_passes(
    authenticator: Authenticator, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = new()
    authenticator.refresh()

    def away() -> None:
        raise StoreUnavailable("seeded by a test")

    monkeypatch.setattr(authenticator, "refresh", away)
    assert _refusal(authenticator, f"Bearer {new().text}") == "unknown"
    assert _refusal(authenticator, f"Bearer {known.text}") is None


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), RuntimeError("seeded by a test")], ids=["away", "a fault"])
def test_tokens_that_cannot_be_refreshed_stay_good_and_are_refreshed_later(
    authenticator: Authenticator, new: New, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    made, tried, going_on = new(), threading.Event(), threading.Event()
    authenticator.refresh()
    real = authenticator.refresh

    def refresh() -> None:
        if not tried.is_set():
            tried.set()
            raise fault
        real()
        going_on.set()

    monkeypatch.setattr(authenticator, "refresh", refresh)
    monkeypatch.setattr("watchtower.server.authentication.REFRESH_S", 0.01)
    authenticator.start()
    try:
        assert going_on.wait(60), "it goes on after the fault"
        assert _refusal(authenticator, f"Bearer {made.text}") is None
    finally:
        authenticator.stop()


def test_of_more_tokens_than_are_remembered_each_passes_all_the_same(
    authenticator: Authenticator, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchtower.server.authentication.MOST_PROVEN", 1)
    made = [new(), new()]
    authenticator.refresh()
    for token in (*made, *made):
        assert _refusal(authenticator, f"Bearer {token.text}") is None
