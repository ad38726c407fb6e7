"""Signing in by a one-time link, and signing out.

The link leads to a page with one button; only the button uses the code up, so that a mail scanner or a browser that
fetches ahead does not. Of the session the browser holds a random cookie, the store its HMAC.
"""

import logging
from urllib.parse import urlsplit

import msgspec

from dashboards import web
from watchtower.model.access import Person
from watchtower.server.endpoints import Call, Problem, Raw, Redirect, html
from watchtower.server.services import Settings
from watchtower.store import access
from watchtower.store.access import NewSession
from watchtower.store.audit import Entry
from watchtower.store.database import Connection

log = logging.getLogger(__name__)


class LoginQuery(msgspec.Struct, frozen=True):
    """code: of a one-time link."""

    code: str = ""


class LoginForm(msgspec.Struct, frozen=True):
    code: str = ""


class PressForm(msgspec.Struct, frozen=True):
    """One button, nothing to fill in. The form token is checked before."""


def check_origin(call: Call) -> None:
    """Beside the form token of a session, for a server without access control, whose forms need none."""
    if not is_same_origin(call):
        raise Problem(403, "this form was sent from another site", slug="cross_site")


def cookie_name(settings: Settings) -> str:
    """`__Host-` binds the cookie to this host and to TLS; without TLS browsers would refuse it."""
    return "__Host-watchtower" if settings.secure else "watchtower"


def login_page(call: Call) -> Raw:
    return html(web.render_login(web.LoginView(code=call.asked(LoginQuery).code)))


def login(call: Call) -> Raw | Redirect:
    """Use the link up and open a session. Wrong codes are answered ever more slowly."""
    if not is_same_origin(call):
        raise Problem(403, "this form was sent from another site", slug="cross_site")
    wait_s = call.attempts.wait_s(call.client)
    if wait_s:
        raise Problem(429, f"too many wrong links; try again in {wait_s} s", headers=[(b"retry-after", b"%d" % wait_s)])
    code = call.sent(LoginForm).code.strip()
    opened = call.write(lambda c: _redeem(call, c, code)) if code else None
    if opened is None:
        call.attempts.failed(call.client)
        view = web.LoginView(code="", fault="This link was used already, or is too old. Make a new one.")
        return html(web.render_login(view), status=403)
    call.attempts.succeeded(call.client)
    return Redirect("/", 303, [_set_cookie(call.services.settings, opened.cookie)])


def logout(call: Call) -> Redirect:
    """End the session on the server as well as in the browser."""
    if call.cookie:
        call.write(
            lambda c: (
                access.revoke_session(c, call.services.keys, call.cookie, call.now),
                call.entry("session.close", call.principal.actor),
            )
        )
    return Redirect("/login", 303, [_set_cookie(call.services.settings, "", max_age=0)])


def is_same_origin(call: Call) -> bool:
    """By what browsers say of where a form comes from; what is no browser says nothing and is no victim either."""
    site = call.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = call.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == call.headers.get("host", "")


def _redeem(call: Call, connection: Connection, code: str) -> tuple[NewSession | None, Entry | None]:
    opened = access.redeem_link(connection, call.services.keys, code, call.now)
    if opened is None:
        return None, None
    return opened, _opened(call, opened.person)


def _opened(call: Call, person: Person) -> Entry:
    return Entry(call.now, f"person:{person.id}", "session.open", f"person:{person.id}", person.team, call.request_id)


def _set_cookie(settings: Settings, value: str, max_age: int | None = None) -> tuple[bytes, bytes]:
    age = int(access.SESSION_LIFE.total_seconds()) if max_age is None else max_age
    parts = [f"{cookie_name(settings)}={value}", "Path=/", f"Max-Age={age}", "HttpOnly", "SameSite=Lax"]
    if settings.secure:
        parts.append("Secure")
    return b"set-cookie", "; ".join(parts).encode()
