"""The pages that are looked through, on a whole server: incidents of all times, the ledger, sources."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select

from tests.server.site import Site
from tests.server.story import tell
from tests.server.test_pipeline_pages import shown
from watchtower.clock import ManualClock
from watchtower.model.access import Role
from watchtower.store.reading import now_page
from watchtower.store.schema.alerting import incidents

AGES_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def admin(any_site: Site, clock: ManualClock) -> str:
    tell(any_site.services.database, clock)
    return any_site.sign_in()


def test_incidents_that_are_over_are_still_found(any_site: Site, admin: str) -> None:
    everything = shown(any_site, "/incidents", admin)
    assert "orders_hourly" in everything
    over = shown(any_site, "/incidents?status=resolved", admin)
    assert "resolved" in over
    assert over.count("so far") < everything.count("so far")
    assert "No incident is like that." in shown(any_site, "/incidents?q=nothing_of_the_sort", admin)
    assert "orders_hourly" in shown(any_site, "/incidents?q=ORDERS&status=", admin)
    assert "is unknown; known: triggered, acknowledged, resolved" in shown(any_site, "/incidents?status=x", admin, 400)


def test_the_api_finds_incidents_by_their_words_as_the_page_does(any_site: Site, admin: str) -> None:
    headers = {"Cookie": admin}
    found = any_site.request("GET", "/api/v1/incidents?q=Orders_hourly", headers=headers).json()["items"]
    assert found
    assert all("orders_hourly" in item["title"] + item["summary"] for item in found)
    assert any_site.request("GET", "/api/v1/incidents?q=100%25", headers=headers).json()["items"] == []


def test_what_was_owed_is_shown_with_its_end(any_site: Site, admin: str) -> None:
    text = shown(any_site, "/deliveries", admin)
    for said in ("team/webhook[0]", "team/email[0]", "delivered", "dead letter", "it began", "it ended"):
        assert said in text
    dead = shown(any_site, "/deliveries?state=dead_letter", admin)
    assert "team/email[0]" in dead
    assert "team/webhook[0]" not in dead
    assert "team/email[0]" not in shown(any_site, "/deliveries?destination=team/webhook[0]", admin)
    assert "No delivery is like that." in shown(any_site, "/deliveries?destination=nobody", admin)


def test_sources_are_shown_with_their_newest_word(any_site: Site, admin: str) -> None:
    text = shown(any_site, "/sources", admin)
    for said in ("airflow-prod", "airflow-ml", "sends by itself", "heard"):
        assert said in text


def test_a_team_sees_what_is_its_own(any_site: Site, admin: str) -> None:
    cookie = any_site.sign_in(Role.VIEWER, team="ml")
    assert "Nothing was ever broken." in shown(any_site, "/incidents", cookie)
    assert "Nothing was owed to anybody yet." in shown(any_site, "/deliveries", cookie)
    sources = shown(any_site, "/sources", cookie)
    assert "airflow-ml" in sources
    assert "airflow-prod" not in sources


def test_a_hundred_old_tickets_do_not_hide_a_new_page(any_site: Site, admin: str) -> None:
    def flood(connection: Connection) -> int:
        one = connection.execute(select(incidents).where(incidents.c.status == "triggered").limit(1)).mappings().one()
        copies = [
            {"id": f"old-{number}", "title": f"Ticket {number} of old", "severity": "ticket", "started_at": AGES_AGO}
            for number in range(100)
        ]
        copies.append({"id": "held", "title": "Somebody has it", "severity": "page", "status": "acknowledged"})
        copies.append({"id": "new", "title": "Revenue is missing", "severity": "page"})
        connection.execute(incidents.insert(), [{**one, "incident_key": each["id"], **each} for each in copies])
        return now_page.count_open(connection, None)

    count = any_site.services.database.write(flood)
    text = shown(any_site, "/", admin)
    assert f"{count} things are broken" in text
    assert "Revenue is missing" in text
    assert "Somebody has it" not in text
    assert "Ticket 9 of old" in text
    assert f"of {count}: all of them" in text
