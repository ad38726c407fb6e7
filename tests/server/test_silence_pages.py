"""Keeping an incident quiet from its page, and ending that again, on a whole server."""

from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest

from tests.server.site import Answer, Site
from tests.server.story import ORDERS, tell
from tests.server.test_pipeline_pages import shown
from watchtower.clock import ManualClock
from watchtower.model.access import Role, Scope

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def told(any_site: Site, clock: ManualClock) -> Site:
    tell(any_site.services.database, clock)
    return any_site


def incident(site: Site) -> str:
    """Of the orders, which ring."""
    found = site.get("/api/v1/incidents?q=orders_hourly&status=triggered").json()["items"]
    assert len(found) == 1, found
    return found[0]["id"]


def press(site: Site, cookie: str, path: str, **fields: object) -> Answer:
    body = urlencode({"csrf_token": site.form_token(cookie), **fields}).encode()
    return site.request("POST", path, body=body, headers={**FORM, "Cookie": cookie})


def active(site: Site) -> list[dict[str, object]]:
    return site.get("/api/v1/silences?active=true").json()["items"]


def test_an_incident_is_kept_quiet_from_its_page_and_shows_it(told: Site, clock: ManualClock) -> None:
    path, cookie = f"/incidents/{incident(told)}", told.sign_in(Role.RESPONDER)
    assert "Keep it quiet" in shown(told, path, cookie)
    asked = shown(told, f"{path}/silence", cookie)
    assert f'pipeline="{ORDERS.pipeline}"' in unescape(asked)
    assert "That reaches its one open alert" in asked
    answer = press(told, cookie, f"{path}/silence", hours="2", comment="the warehouse is being moved")
    assert (answer.status, answer.headers["location"]) == (303, path)
    [silence] = active(told)
    assert silence["comment"] == "the warehouse is being moved"
    assert silence["ends_at"] == (clock.now() + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    text = shown(told, path, cookie)
    assert "Kept quiet until" in text
    assert "the warehouse is being moved" in text
    assert "kept quiet" in text, "the alert itself says so"
    assert "the warehouse is being moved" in str(told.get(f"/api/v1{path}").json()["timeline"])

    ended = press(told, cookie, f"{path}/unsilence", silence=silence["id"])
    assert ended.status == 303
    assert active(told) == []
    assert "End this silence" not in shown(told, path, cookie)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hours": "2", "comment": " "}, "say why it is kept quiet"),
        ({"hours": "2", "comment": "x" * 501}, "say why it is kept quiet"),
        ({"hours": "0", "comment": "x"}, "is not above 0"),
        ({"hours": "169", "comment": "x"}, "is not above 0"),
        ({"hours": "nan", "comment": "x"}, "is not above 0"),
        ({"hours": "soon", "comment": "x"}, "hours"),
    ],
)
def test_what_makes_no_sense_is_refused(site: Site, clock: ManualClock, fields: dict[str, str], said: str) -> None:
    tell(site.services.database, clock)
    path, cookie = f"/incidents/{incident(site)}", site.sign_in(Role.RESPONDER)
    answer = press(site, cookie, f"{path}/silence", **fields)
    assert answer.status == 400
    assert said in answer.body.decode()
    assert active(site) == []


def test_who_may_only_look_has_no_button_and_no_way_in(site: Site, clock: ManualClock) -> None:
    tell(site.services.database, clock)
    path, viewer = f"/incidents/{incident(site)}", site.sign_in(Role.VIEWER)
    assert "Keep it quiet" not in shown(site, path, viewer)
    shown(site, f"{path}/silence", viewer, status=403)
    assert press(site, viewer, f"{path}/silence", hours="2", comment="x").status == 403
    assert "Keep it quiet" not in site.get(path, "read").body.decode(), "a token has no form token"
    stranger = site.request("POST", f"{path}/silence", body=b"hours=2&comment=x", headers={**FORM, "Cookie": viewer})
    assert stranger.status == 403


def test_another_site_presses_no_button_here(site: Site, clock: ManualClock) -> None:
    tell(site.services.database, clock)
    path, cookie = f"/incidents/{incident(site)}", site.sign_in(Role.RESPONDER)
    for button in ("silence", "unsilence"):
        body = urlencode({"csrf_token": site.form_token(cookie), "hours": "2", "comment": "x", "silence": "s"}).encode()
        headers = {**FORM, "Cookie": cookie, "Sec-Fetch-Site": "cross-site"}
        answer = site.request("POST", f"{path}/{button}", body=body, headers=headers)
        assert (answer.status, "another site" in answer.body.decode()) == (403, True)
    assert active(site) == []


def test_a_team_keeps_no_more_quiet_than_its_own(site: Site, clock: ManualClock) -> None:
    tell(site.services.database, clock)
    path, own = f"/incidents/{incident(site)}", site.sign_in(Role.RESPONDER, team="data")
    assert press(site, own, f"{path}/silence", hours="1", comment="ours").status == 303
    [silence] = active(site)
    assert {"name": "team", "value": "data", "op": "="} in silence["matchers"]  # type: ignore[operator]
    other = site.sign_in(Role.RESPONDER, team="ml")
    assert press(site, other, f"{path}/silence", hours="1", comment="theirs").status == 404
    assert press(site, other, f"{path}/unsilence", silence=silence["id"]).status == 404
    assert site.get("/api/v1/silences", site.new_token([Scope.READ], team="data")).json()["items"] != []


def test_what_is_over_cannot_be_kept_quiet(site: Site, clock: ManualClock) -> None:
    tell(site.services.database, clock)
    over = site.get("/api/v1/incidents?status=resolved").json()["items"][0]["id"]
    responder = site.sign_in(Role.RESPONDER)
    assert "Keep it quiet" not in shown(site, f"/incidents/{over}", responder)
    shown(site, f"/incidents/{over}/silence", responder, status=409)
    assert press(site, responder, f"/incidents/{over}/silence", hours="2", comment="x").status == 409
