"""Tokens, links and sessions on both engines."""

import uuid
import zlib
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from watchtower.clock import ManualClock
from watchtower.errors import BadInput, UsageError
from watchtower.model.access import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Person, Role, Scope
from watchtower.store import access
from watchtower.store.access import NewSession, NewToken
from watchtower.store.database import Database
from watchtower.store.keys import Keys, bind_keys, load_keys
from watchtower.store.schema.access import links, sessions, tokens

KEYS = Keys.random()


def make_token(database: Database, now: datetime, **options: object) -> NewToken:
    given_options = {"name": "airflow", "scopes": {Scope.INGEST}, "created_by": "person:admin", **options}
    return database.write(lambda c: access.create_token(c, KEYS, now=now, **given_options))  # pyright: ignore[reportArgumentType] - the cases choose


def sign_in(database: Database, now: datetime) -> NewSession:
    def unit(connection: access.Connection) -> NewSession | None:
        access.put_person(connection, Person("admin", "Admin", Role.ADMIN, None, now))
        return access.redeem_link(connection, KEYS, access.create_link(connection, KEYS, "admin", now), now)

    session = database.write(unit)
    assert session is not None
    return session


def test_a_token_is_found_by_its_id_and_checked_by_its_digest(database: Database, clock: ManualClock) -> None:
    made = make_token(database, clock.now())
    with database.read() as connection:
        live = access.live_tokens(connection, clock.now())
    found = live[access.token_id(made.text) or ""]
    assert found.token == made.token
    assert found.digest == access.token_digest(KEYS, made.text)


def test_the_store_never_holds_a_secret(database: Database, clock: ManualClock) -> None:
    made, session = make_token(database, clock.now()), sign_in(database, clock.now())
    code = database.write(lambda c: access.create_link(c, KEYS, "admin", clock.now()))
    with database.read() as connection:
        rows = [repr(tuple(row)) for table in (tokens, links, sessions) for row in connection.execute(select(table))]
    secrets = (made.text, made.text.split("_")[3], session.cookie, code)
    assert not [secret for secret in secrets if any(secret in row for row in rows)]
    assert not [secret for secret in secrets if secret in repr(made) + repr(session) + repr(KEYS)]


@pytest.mark.parametrize(
    "text",
    ["", "wt", "wt_ingest_abc_def", "wt_ingest_a_b_00000000", "xx_ingest_a_b_" + f"{zlib.crc32(b'xx_ingest_a_b'):08x}"],
)
def test_text_that_is_no_token_has_no_id(text: str) -> None:
    assert access.token_id(text) is None


@given(st.text(max_size=80))
def test_any_text_may_be_asked_for_its_token_id(text: str) -> None:
    assert access.token_id(text) is None or text.startswith("wt_")


def test_a_mistyped_token_is_told_by_its_checksum(database: Database, clock: ManualClock) -> None:
    text = make_token(database, clock.now()).text
    place = text.index("_", 10) + 3
    assert access.token_id(text[:place] + ("a" if text[place] != "a" else "b") + text[place + 1 :]) is None


def test_revoked_and_expired_tokens_are_not_live(database: Database, clock: ManualClock) -> None:
    revoked = make_token(database, clock.now())
    expiring = make_token(database, clock.now(), expires_at=clock.now() + timedelta(days=1))
    database.write(lambda c: access.revoke_token(c, revoked.token.id, clock.now()))
    clock.advance(86_400)
    with database.read() as connection:
        assert access.live_tokens(connection, clock.now()) == {}
        shown = [access.get_token(connection, one.token.id) for one in (revoked, expiring)]
    assert [token is not None and token.is_live(clock.now()) for token in shown] == [False, False]


def test_the_last_use_only_moves_forward(database: Database, clock: ManualClock) -> None:
    ident = make_token(database, clock.now()).token.id
    later = clock.now() + timedelta(hours=1)
    database.write(lambda c: access.note_uses(c, {ident: later}))
    database.write(lambda c: access.note_uses(c, {ident: clock.now()}))
    with database.read() as connection:
        token = access.get_token(connection, ident)
    assert token is not None
    assert token.last_used_at == later


@pytest.mark.parametrize("options", [{"scopes": set[Scope]()}, {"name": " "}, {"expires_at": None}])
def test_a_token_that_could_do_nothing_is_refused(
    database: Database, clock: ManualClock, options: dict[str, object]
) -> None:
    if "expires_at" in options:
        options = {"expires_at": clock.now()}  # over already
    with pytest.raises(BadInput):
        make_token(database, clock.now(), **options)


def test_a_link_opens_one_session_once(database: Database, clock: ManualClock) -> None:
    code = database.write(
        lambda c: (
            access.put_person(c, Person("admin", "Admin", Role.ADMIN, None, clock.now())),
            access.create_link(c, KEYS, "admin", clock.now()),
        )[1]
    )
    first, second = (database.write(lambda c: access.redeem_link(c, KEYS, code, clock.now())) for _ in range(2))
    assert first is not None
    assert first.person.id == "admin"
    assert second is None


def test_a_link_is_too_old_after_an_hour(database: Database, clock: ManualClock) -> None:
    sign_in(database, clock.now())
    code = database.write(lambda c: access.create_link(c, KEYS, "admin", clock.now()))
    clock.advance(3_600)
    assert database.write(lambda c: access.redeem_link(c, KEYS, code, clock.now())) is None


@pytest.mark.parametrize(
    ("idle_s", "used_every_s", "alive"),
    [(29 * 60, None, True), (30 * 60, None, False), (11 * 3600, 20 * 60, True), (12 * 3600, 20 * 60, False)],
    ids=["29 min idle", "30 min idle", "11 h in use", "12 h in use"],
)
def test_a_session_lasts_12_hours_and_30_idle_minutes(
    database: Database, clock: ManualClock, idle_s: int, used_every_s: int | None, alive: bool
) -> None:
    cookie = sign_in(database, clock.now()).cookie
    passed = 0
    while used_every_s and passed + used_every_s < idle_s:
        clock.advance(used_every_s)
        passed += used_every_s
        database.write(lambda c: access.touch_session(c, KEYS, cookie, clock.now()))
    clock.advance(idle_s - passed)
    with database.read() as connection:
        assert (access.find_session(connection, KEYS, cookie, clock.now()) is not None) is alive


def test_signing_out_and_removal_end_sessions_at_once(database: Database, clock: ManualClock) -> None:
    out, gone = sign_in(database, clock.now()).cookie, sign_in(database, clock.now()).cookie
    database.write(lambda c: access.revoke_session(c, KEYS, out, clock.now()))
    with database.read() as connection:
        assert access.find_session(connection, KEYS, out, clock.now()) is None
        assert access.find_session(connection, KEYS, gone, clock.now()) is not None
    assert database.write(lambda c: access.remove_person(c, "admin", clock.now()))
    with database.read() as connection:
        assert access.find_session(connection, KEYS, gone, clock.now()) is None
        assert access.list_people(connection) == []


def test_another_pepper_opens_nothing(database: Database, clock: ManualClock) -> None:
    cookie = sign_in(database, clock.now()).cookie
    with database.read() as connection:
        assert access.find_session(connection, Keys.random(), cookie, clock.now()) is None


def test_an_auditor_reads_all_and_changes_nothing_and_each_role_may_all_that_the_one_before_may() -> None:
    auditor, viewer = ROLE_PERMISSIONS[Role.AUDITOR], ROLE_PERMISSIONS[Role.VIEWER]
    assert {Permission.AUDIT_READ, Permission.TOKENS_READ} == auditor - viewer
    assert viewer < auditor
    assert not [permission for permission in viewer | auditor if permission.value.endswith(":write")]
    ladder = (Role.VIEWER, Role.RESPONDER, Role.EDITOR, Role.TEAM_ADMIN, Role.ADMIN)
    assert all(ROLE_PERMISSIONS[lower] < ROLE_PERMISSIONS[higher] for lower, higher in pairwise(ladder))


def test_an_ingest_token_reads_nothing_and_only_admins_may_all() -> None:
    assert SCOPE_PERMISSIONS[Scope.INGEST] == {Permission.INGEST}
    assert not [role for role in Role if Permission.INGEST in ROLE_PERMISSIONS[role] and role is not Role.ADMIN]
    assert SCOPE_PERMISSIONS[Scope.READ] < SCOPE_PERMISSIONS[Scope.RESPOND] < SCOPE_PERMISSIONS[Scope.ADMIN]
    assert SCOPE_PERMISSIONS[Scope.ADMIN] == ROLE_PERMISSIONS[Role.ADMIN] == set(Permission)


def test_keys_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = load_keys(folder)
    assert load_keys(folder) == made
    assert {len(key) for key in {made.pepper, made.audit, made.forms, made.hooks}} == {32}
    assert len({made.pepper, made.audit, made.forms, made.hooks}) == 4
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "pepper": 0o600,
        "audit": 0o600,
        "forms": 0o600,
        "hooks": 0o600,
    }
    folder.chmod(0o750)
    with pytest.raises(UsageError, match="chmod 700"):
        load_keys(folder)
    folder.chmod(0o700)
    (folder / "pepper").chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        load_keys(folder)


def test_a_store_refuses_keys_of_another(database: Database, tmp_path: Path) -> None:
    database.write(lambda c: bind_keys(c, KEYS, tmp_path))
    database.write(lambda c: bind_keys(c, KEYS, tmp_path))
    with pytest.raises(UsageError, match="not those of this store"):
        database.write(lambda c: bind_keys(c, Keys.random(), tmp_path))


@pytest.mark.parametrize(("text", "fault"), [("abc", "hexadecimal"), ("abcd", "has 2 bytes")])
def test_a_damaged_key_names_the_file(tmp_path: Path, text: str, fault: str) -> None:
    folder = tmp_path / "keys"
    load_keys(folder)
    (folder / "audit").write_text(text)
    with pytest.raises(UsageError, match=rf"audit.*{fault}"):
        load_keys(folder)


def test_a_key_that_cannot_be_read_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    load_keys(folder)
    (folder / "audit").unlink()
    (folder / "audit").mkdir(mode=0o700)
    with pytest.raises(UsageError, match=r"audit cannot be read"):
        load_keys(folder)


def test_keys_that_another_process_made_first_are_those_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = Path.hardlink_to, list[str]()

    def another_was_first(self: Path, target: Path) -> None:
        self.write_text("ab" * 32)
        self.chmod(0o600)
        others.append(self.name)
        real(self, target)

    monkeypatch.setattr(Path, "hardlink_to", another_was_first)
    keys = load_keys(tmp_path / "keys")
    monkeypatch.undo()
    assert others
    assert keys.pepper == bytes.fromhex("ab" * 32)
    assert load_keys(tmp_path / "keys") == keys
    assert not [path.name for path in (tmp_path / "keys").iterdir() if path.name.startswith(".")]


def test_a_token_of_a_check_can_only_ping(database: Database, clock: ManualClock) -> None:
    with pytest.raises(BadInput, match="can only ping"):
        make_token(database, clock.now(), scopes={Scope.INGEST}, check="nightly")


def test_a_check_is_known_by_its_secret_of_which_nothing_stands_in_its_id(
    database: Database, clock: ManualClock
) -> None:
    made = make_token(database, clock.now(), scopes={Scope.PING}, check="nightly")
    assert str(uuid.UUID(made.text)) == made.text
    assert (made.token.kind, made.token.check) == ("check", "nightly")
    assert made.token.id == access.check_token_id(KEYS, made.text) != access.check_token_id(Keys.random(), made.text)
    assert made.token.id not in made.text.replace("-", "")
    assert access.token_id(made.text) is None, "it is no bearer token"


def test_no_uses_are_no_statement(database: Database) -> None:
    database.write(lambda connection: access.note_uses(connection, {}))
