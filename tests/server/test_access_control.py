"""Deny by default, on every route there is: generated from the route table, over real HTTP."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.server.site import Site, event, later, running, with_settings
from tests.server.story import tell
from watchtower.clock import ManualClock
from watchtower.errors import UsageError
from watchtower.model.access import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Role, Scope
from watchtower.server import openapi
from watchtower.server.endpoints import Endpoint, Open
from watchtower.server.ingest import INGEST_ROUTES
from watchtower.server.routes import ENDPOINTS, PUBLIC_PATHS, SIGNED_PATHS
from watchtower.server.runner import Address, Server
from watchtower.store import access, audit
from watchtower.store.database import Database
from watchtower.store.schema.access import audit as audit_rows

PRIVATE = [endpoint for endpoint in ENDPOINTS if not isinstance(endpoint.permission, Open)]
WRITING = [endpoint for endpoint in PRIVATE if endpoint.method != "GET"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def concrete(endpoint: Endpoint) -> str:
    return re.sub(r"{(\w+)}", "nothing", endpoint.path)


def permission_of(endpoint: Endpoint) -> Permission:
    assert isinstance(endpoint.permission, Permission)
    return endpoint.permission


def test_the_public_surface_is_the_table_and_nothing_else() -> None:
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.permission is Open.PUBLIC} == PUBLIC_PATHS
    assert {"/livez", "/readyz", "/login", "/login/{file}"} == PUBLIC_PATHS
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.permission is Open.SIGNED} == SIGNED_PATHS
    assert all(path.startswith("/hooks/{name}") for path in SIGNED_PATHS)


@pytest.mark.parametrize("token", [None, "admin"])
def test_a_signed_route_asks_for_a_signature_and_not_for_a_token(site: Site, token: str | None) -> None:
    for endpoint in (one for one in ENDPOINTS if one.permission is Open.SIGNED):
        answer = site.request(endpoint.method, concrete(endpoint), token=token, body=b"Digits=1")
        assert answer.status == 404, f"{endpoint.path}: no destination has a hook"
        assert (
            site.request(endpoint.method, concrete(endpoint), token=token, body=b"x" * (endpoint.max_body + 1)).status
            == 413
        )


def test_each_route_stands_once_in_the_table() -> None:
    places = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS]
    assert len(places) == len(set(places))


def test_without_a_token_every_private_route_is_closed(site: Site) -> None:
    for endpoint in PRIVATE:
        answer = site.request(endpoint.method, concrete(endpoint))
        if endpoint.kind == "page" and endpoint.method == "GET":
            assert (answer.status, answer.headers["location"]) == (303, "/login"), endpoint.path
        else:
            assert answer.status == 401, endpoint.path
    for path in INGEST_ROUTES:
        assert site.request("POST", path, body=b"{}").status == 401


@pytest.mark.parametrize("scope", Scope)
def test_a_token_reaches_exactly_what_its_scope_allows(site: Site, scope: Scope) -> None:
    for endpoint in PRIVATE:
        if endpoint.path in ("/logout", "/-/reload"):
            continue
        allowed = permission_of(endpoint) in SCOPE_PERMISSIONS[scope]
        status = site.request(endpoint.method, concrete(endpoint), token=scope.value).status
        assert (status not in (401, 403)) is allowed, f"{endpoint.method} {endpoint.path}: {status}"


@pytest.mark.parametrize("scope", Scope)
def test_a_token_writes_events_only_if_its_scope_says_so(site: Site, scope: Scope) -> None:
    for path in INGEST_ROUTES:
        allowed = Permission.INGEST in SCOPE_PERMISSIONS[scope]
        status = site.request("POST", path, token=scope.value, body=b"{}").status
        assert (status not in (401, 403)) is allowed, f"{path}: {status}"


@pytest.mark.parametrize("ended", ["expired", "revoked"])
def test_a_token_that_is_over_reaches_nothing(site: Site, clock: ManualClock, ended: str) -> None:
    token = site.new_token(set(Scope) - {Scope.PING}, expires_at=later(clock, 60))
    assert site.get("/api/v1/runs", token).status == 200
    if ended == "expired":
        clock.advance(61)
    else:
        assert site.request("POST", f"/api/v1/tokens/{token.split('_')[2]}/revoke", token="admin").status == 200
    for endpoint in PRIVATE:
        answer = site.request(endpoint.method, concrete(endpoint), token=token)
        led_away = endpoint.kind == "page" and endpoint.method == "GET"
        assert answer.status == (303 if led_away else 401), endpoint.path
    for path in INGEST_ROUTES:
        assert site.request("POST", path, token=token, body=b"{}").status == 401, path


def test_nothing_of_another_team_is_there(sqlite: Database, tmp_path: Path, clock: ManualClock) -> None:
    """Every id that a list gives to an administrator, followed by somebody of another team along the links."""
    tell(sqlite, clock)
    paths = openapi.document(ENDPOINTS)["paths"]
    places = {found["operationId"]: (method, path) for path, some in paths.items() for method, found in some.items()}
    followed: set[str] = set()
    with running(sqlite, tmp_path, clock) as site:
        stranger = site.new_token({Scope.READ, Scope.RESPOND}, team="strangers")
        for path, some in paths.items():
            links = some.get("get", {}).get("responses", {}).get("200", {}).get("links", {})
            if not links or path in ("/api/v1/tokens", "/api/v1/people"):  # of nobody's team, and read by admins alone
                continue
            items = site.get(path, "admin").json()["items"]
            assert site.get(path, stranger).json()["items"] == [], path
            for link in links.values():
                method, linked = places[link["operationId"]]
                (name,) = link["parameters"]
                for item in items:
                    where = linked.replace(f"{{{name}}}", str(item[name]))
                    answer = site.request(method.upper(), where, token=stranger)
                    assert answer.status in (403, 404), f"{method} {where}: {answer.body!r}"
                    followed.add(path)
    assert {"/api/v1/runs", "/api/v1/jobs", "/api/v1/alerts", "/api/v1/incidents", "/api/v1/deliveries"} <= followed


@pytest.mark.parametrize("role", Role)
def test_a_session_reaches_exactly_what_its_role_allows(site: Site, role: Role) -> None:
    cookie = site.sign_in(role)
    headers = {"Cookie": cookie, "X-CSRF-Token": site.form_token(cookie)}
    for endpoint in PRIVATE:
        if endpoint.path in ("/logout", "/-/reload"):
            continue
        allowed = permission_of(endpoint) in ROLE_PERMISSIONS[role]
        status = site.request(endpoint.method, concrete(endpoint), headers=headers).status
        assert (status not in (401, 403)) is allowed, f"{endpoint.method} {endpoint.path}: {status}"


def test_a_session_writes_no_events(site: Site) -> None:
    """A browser would send its cookie wherever another site leads it."""
    cookie = site.sign_in()
    for path in INGEST_ROUTES:
        assert site.request("POST", path, headers={"Cookie": cookie}, body=b"{}").status == 401, path


def test_a_session_that_is_over_reaches_nothing(site: Site, clock: ManualClock) -> None:
    cookie = site.sign_in()
    headers = {"Cookie": cookie, "X-CSRF-Token": site.form_token(cookie)}
    clock.advance(31 * 60)
    for endpoint in PRIVATE:
        answer = site.request(endpoint.method, concrete(endpoint), headers=headers)
        led_away = endpoint.kind == "page" and endpoint.method == "GET"
        assert answer.status == (303 if led_away else 401), endpoint.path


def test_every_unsafe_route_refuses_a_session_without_the_form_token(site: Site) -> None:
    cookie, other = site.sign_in(), site.sign_in()
    for endpoint in WRITING:
        for sent in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": site.form_token(other)}):
            answer = site.request(endpoint.method, concrete(endpoint), headers={"Cookie": cookie, **sent})
            assert answer.status == 403, endpoint.path
    assert site.request("GET", "/", headers={"Cookie": cookie}).status == 200, "it is still signed in"


def test_the_form_token_may_come_in_the_form(site: Site) -> None:
    cookie = site.sign_in()
    body = f"csrf_token={site.form_token(cookie)}".encode()
    answer = site.request("POST", "/logout", headers={"Cookie": cookie, **FORM}, body=body)
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert site.request("GET", "/", headers={"Cookie": cookie}).status == 303


def test_whoever_has_a_token_and_no_session_signs_out_of_nothing(site: Site) -> None:
    answer = site.request("POST", "/logout", token="admin")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    with site.services.database.read() as connection:
        assert "session.close" not in connection.execute(select(audit_rows.c.action)).scalars().all()


# -- signing in ---------------------------------------------------------------------------------------------------


def login(site: Site, code: str, **headers: str) -> int:
    return site.request("POST", "/login", body=f"code={code}".encode(), headers={**FORM, **headers}).status


def new_code(site: Site) -> str:
    site.sign_in(Role.VIEWER)
    services = site.services
    return services.database.write(lambda c: access.create_link(c, services.keys, "some-viewer", services.clock.now()))


def test_opening_a_link_does_not_use_it_up_but_the_button_does(site: Site) -> None:
    code = new_code(site)
    for _ in range(3):
        shown = site.request("GET", f"/login?code={code}")
        assert (shown.status, code in shown.body.decode()) == (200, True)
    assert [login(site, code), login(site, code)] == [303, 403]


def test_wrong_links_are_answered_ever_more_slowly_and_only_there(site: Site) -> None:
    statuses = [login(site, f"wrong{number}") for number in range(6)]
    assert statuses == [403] * 5 + [429]
    assert site.get("/api/v1/runs").status == 200


@pytest.mark.parametrize(
    ("proxies", "others"),
    [((), [429, 429]), (("10.0.0.0/24",), [403, 403])],
    ids=["a stranger between is who asks", "a proxy says who asks"],
)
def test_people_behind_a_known_proxy_do_not_wait_for_one_another(
    proxies: tuple[str, ...], others: list[int], sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    def tried(site: Site, person: str, code: str) -> int:
        """By way of a proxy on another machine, and of one on this."""
        return login(site, code, **{"X-Forwarded-For": f"{person}, 10.0.0.5"})

    with running(sqlite, tmp_path, clock, settings=with_settings(patience_s=30.0, proxies=proxies)) as site:
        assert [tried(site, "203.0.113.7", f"wrong{number}") for number in range(6)] == [403] * 5 + [429]
        assert [tried(site, person, "wrong") for person in ("203.0.113.8", "203.0.113.9")] == others


def test_whoever_signs_in_may_err_again(site: Site) -> None:
    assert [login(site, f"wrong{number}") for number in range(4)] == [403] * 4
    assert login(site, new_code(site)) == 303
    assert [login(site, f"wrong{number}") for number in range(6)] == [403] * 5 + [429]


def test_a_login_form_of_another_site_is_refused(site: Site) -> None:
    assert login(site, new_code(site), **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert login(site, new_code(site), Origin="https://evil.example") == 403
    assert login(site, new_code(site), Origin=site.url) == 303


@pytest.mark.parametrize(("secure", "name"), [(True, "__Host-watchtower"), (False, "watchtower")])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    sqlite: Database, tmp_path: Path, clock: ManualClock, secure: bool, name: str
) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(secure=secure)) as site:
        code = new_code(site)
        answer = site.request("POST", "/login", body=f"code={code}".encode(), headers=FORM)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{name}=")
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert ("Secure" in cookie.split("; ")) is secure
        assert ("strict-transport-security" in answer.headers) is secure


def test_sessions_end_by_time_and_by_removal(site: Site, clock: ManualClock) -> None:
    cookie = site.sign_in(Role.VIEWER)
    clock.advance(29 * 60)
    assert site.request("GET", "/", headers={"Cookie": cookie}).status == 200
    site.services.database.write(lambda _: None)  # its use is noted behind the answer; this comes after it
    clock.advance(29 * 60)
    assert site.request("GET", "/", headers={"Cookie": cookie}).status == 200, "using it keeps it"
    site.services.database.write(lambda c: access.remove_person(c, "some-viewer", clock.now()))
    assert site.request("GET", "/", headers={"Cookie": cookie}).status == 303
    other = site.sign_in(Role.ADMIN)
    clock.advance(31 * 60)
    assert site.request("GET", "/", headers={"Cookie": other}).status == 303


# -- no access control --------------------------------------------------------------------------------------------


def test_no_auth_is_refused_unless_only_this_machine_can_reach_it(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    with running(sqlite, tmp_path, clock, settings=with_settings(access=False)) as site:
        for text in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0", ":0"):
            with pytest.raises(UsageError, match="--no-auth is refused"):
                Server(site.app, [Address.parse("127.0.0.1:0"), Address.parse(text)])
        assert site.request("GET", "/api/v1/tokens").status == 200
        assert site.request("POST", "/api/v1/lineage", json_body=event(clock)).status == 200
        rebound = site.request("GET", "/api/v1/tokens", headers={"Host": "evil.example:8642"})
        assert rebound.status == 403


# -- headers ------------------------------------------------------------------------------------------------------


def test_every_answer_carries_the_security_headers(site: Site, clock: ManualClock) -> None:
    answers = [site.request(e.method, concrete(e), token="admin") for e in ENDPOINTS if e.path != "/logout"]
    answers += [site.request(e.method, concrete(e)) for e in ENDPOINTS]
    answers += [
        site.request("GET", "/nothing/here"),
        site.request("DELETE", "/api/v1/runs"),
        site.post_event(event(clock)),
    ]
    answers += [site.request("POST", "/api/v1/lineage", body=b"{"), site.post_event({}, token="read")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


# -- audit --------------------------------------------------------------------------------------------------------


def test_every_change_is_in_the_audit_chain_with_its_actor(site: Site, clock: ManualClock) -> None:
    cookie = site.sign_in(Role.ADMIN)
    headers = {"Cookie": cookie, "X-CSRF-Token": site.form_token(cookie)}
    made = site.request("POST", "/api/v1/tokens", headers=headers, json_body={"name": "ci", "scopes": ["read"]})
    silence = {
        "matchers": [{"name": "team", "value": "data"}],
        "ends_at": (clock.now() + timedelta(hours=1)).isoformat(),
        "comment": "deploy",
    }
    put = site.request("POST", "/api/v1/silences", token="respond", json_body=silence)
    assert (made.status, put.status) == (200, 200), put.body
    with site.services.database.read() as connection:
        rows = connection.execute(select(audit_rows).order_by(audit_rows.c.seq)).all()
        assert audit.verify(connection, site.services.keys.audit).fault is None
    assert [(row.actor.partition(":")[0], row.action) for row in rows] == [
        ("person", "session.open"),
        ("person", "token.create"),
        ("token", "silence.create"),
    ]
    assert made.json()["token"] not in repr(rows)
    assert rows[1].request_id == made.headers["x-request-id"]


def test_the_chain_is_verified_over_the_api(site: Site, clock: ManualClock) -> None:
    site.sign_in(Role.ADMIN)
    whole = site.get("/api/v1/audit/verify", "admin").json()
    assert (whole["rows"], whole["fault"]) == (1, None)
    assert site.get(f"/api/v1/audit/verify?head={whole['head']}", "admin").json()["fault"] is None
    assert "cut off" in site.get(f"/api/v1/audit/verify?head=9:{'00' * 32}", "admin").json()["fault"]
    assert site.get("/api/v1/audit/verify?head=x", "admin").status == 400
    site.services.database.write(lambda c: c.execute(update(audit_rows).values(actor="person:somebody-else")))
    assert "row 1" in site.get("/api/v1/audit/verify", "admin").json()["fault"]


def test_nobody_gives_away_more_than_they_have(site: Site) -> None:
    cookie = site.sign_in(Role.TEAM_ADMIN, team="data")
    headers = {"Cookie": cookie, "X-CSRF-Token": site.form_token(cookie)}
    body = {"name": "x", "scopes": ["admin"], "team": "data"}
    assert site.request("POST", "/api/v1/tokens", headers=headers, json_body=body).status == 403
    body = {"name": "x", "scopes": ["read"]}
    assert site.request("POST", "/api/v1/tokens", headers=headers, json_body=body).status == 400
    body = {"name": "x", "scopes": ["read", "ingest"], "team": "data"}
    assert site.request("POST", "/api/v1/tokens", headers=headers, json_body=body).status == 200


# -- people -------------------------------------------------------------------------------------------------------


def test_someone_is_added_signs_in_by_a_link_and_is_removed(site: Site) -> None:
    body = {"id": "night-shift", "role": "responder", "team": "data"}
    assert site.request("POST", "/api/v1/people", token="admin", json_body=body).status == 200
    link = site.request("POST", "/api/v1/people/night-shift/link", token="admin").json()
    code = link["url"].partition("code=")[2]
    opened = site.request("POST", "/login", body=f"code={code}".encode(), headers=FORM)
    cookie = opened.headers["set-cookie"].partition(";")[0]
    assert site.request("GET", "/api/v1/incidents", headers={"Cookie": cookie}).status == 200
    assert site.request("GET", "/api/v1/people", headers={"Cookie": cookie}).status == 403
    assert [item["id"] for item in site.get("/api/v1/people", "admin").json()["items"]] == ["night-shift"]
    assert site.request("DELETE", "/api/v1/people/night-shift", token="admin").status == 200
    assert site.request("GET", "/api/v1/incidents", headers={"Cookie": cookie}).status == 401
    assert site.request("POST", "/api/v1/people/night-shift/link", token="admin").status == 404


def test_nobody_locks_themselves_out(site: Site) -> None:
    cookie = site.sign_in(Role.ADMIN)
    headers = {"Cookie": cookie, "X-CSRF-Token": site.form_token(cookie)}
    assert site.request("DELETE", "/api/v1/people/some-admin", headers=headers).status == 400
