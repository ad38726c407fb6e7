"""Planned times over HTTP: in the API for machines, on the front page for people."""

from datetime import timedelta

from alerting.maintenance import Window
from tests.server.site import Site
from tests.server.test_api import Judge
from watchtower.clock import ManualClock
from watchtower.model.access import Scope
from watchtower.model.labels import parse_matchers


def test_what_is_planned_and_what_holds_now_is_shown(site: Site, clock: ManualClock) -> None:
    now = clock.now()
    hours = [timedelta(hours=each) for each in (1, 2, 3)]
    site.services.maintenance = (
        Window("upgrade", parse_matchers('team="finance"'), "<b>", "data-lead", once=(now, now + hours[0])),
        Window("later", parse_matchers('pipeline=~"a.*"'), "because", once=(now + hours[1], now + hours[2])),
    )
    answer = site.get("/api/v1/maintenance", "read")
    Judge(site).check("GET", "/api/v1/maintenance", answer)
    shown = {item["name"]: (item["active"], item["ends_at"]) for item in answer.json()["items"]}
    assert shown["later"] == (False, None)
    assert shown["upgrade"][0] is True
    active = site.get("/api/v1/maintenance?active=true", "read").json()["items"]
    assert [(item["name"], item["author"], item["reason"]) for item in active] == [("upgrade", "data-lead", "<b>")]
    of_team = site.get("/api/v1/maintenance", site.new_token([Scope.READ], team="finance")).json()["items"]
    assert [item["name"] for item in of_team] == ["upgrade"]
    page = site.get("/", "read").body.decode()
    assert "Maintenance now" in page
    assert "upgrade" in page
    assert "because" not in page
    assert "<b>" not in page
