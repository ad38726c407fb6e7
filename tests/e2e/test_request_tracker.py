"""A real Request Tracker 5: the cases of the simulator, word for word, and a look at what RT itself keeps.

Installs Debian's packages when they are missing (as root, about a minute).
"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import quote

import pytest

from tests.alerting.desks import channel
from tests.alerting.notices import all_resolved, notice
from tests.alerting.tickets.cases import REQUEST_TRACKER_CASES, Bench, Seen, request_tracker_bench, seen_in_rt
from tests.services.debian import Unavailable
from tests.services.request_tracker import RequestTrackerServer, request_tracker
from watchtower.clock import SystemClock
from watchtower.ports import Channel


class RealDesk:
    """RT through REST2 as its administrator."""

    def __init__(self, server: RequestTrackerServer) -> None:
        self._server = server

    def call(self, method: str, path: str, body: Any = None, user: str = "root") -> tuple[int, Any]:
        login = base64.b64encode(f"{user}:{self._server.passwords[user]}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._server.base_url}/REST/2.0/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def tickets(self, episode: str) -> list[Seen]:
        query = quote(f"CF.{{WatchtowerKey}} = '{episode}'")
        _, found = self.call("GET", f"tickets?query={query}&orderby=id&per_page=100")
        return [self.seen(str(item["id"])) for item in found["items"]]

    def seen(self, ticket_id: str) -> Seen:
        _, shown = self.call("GET", f"ticket/{ticket_id}")
        _, parts = self.call("GET", f"ticket/{ticket_id}/attachments?fields=Content,TransactionId&per_page=100")
        texts = sorted((int(item["TransactionId"]), str(item["Content"])) for item in parts["items"])
        comments = tuple(text for _, text in texts[1:])
        return seen_in_rt(int(ticket_id), shown["Subject"], shown["Status"], int(shown["Priority"]), comments)

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        change = {name: value for name, value in (("Status", status), ("Owner", owner and "root")) if value}
        code, said = self.call("PUT", f"ticket/{ticket_id}", change)
        assert code == 200, said
        assert all("changed" in line or "deleted" in line for line in said), said

    def copy(self, ticket_id: str) -> str:
        _, shown = self.call("GET", f"ticket/{ticket_id}")
        keys = {field["name"]: field["values"][0] for field in shown["CustomFields"]}
        same = {"Subject": shown["Subject"], "Priority": shown["Priority"], "CustomFields": keys}
        body = {"Queue": "General", "Content": "late", "ContentType": "text/plain", **same}
        code, made = self.call("POST", "ticket", body, user="fixer")
        assert code == 201, made
        return str(made["id"])


@pytest.fixture(scope="module")
def server() -> Generator[RequestTrackerServer]:
    try:
        with request_tracker() as running:
            yield running
    except Unavailable as error:
        pytest.fail(str(error))


@pytest.fixture(scope="module")
def desk(server: RequestTrackerServer) -> RealDesk:
    return RealDesk(server)


@pytest.fixture(scope="module")
def bench(server: RequestTrackerServer, desk: RealDesk) -> Bench:
    def make(**options: Any) -> Channel:
        login = {"username": "fixer", "password": "fixer-password", "queue": "General", "base_url": server.base_url}
        return channel("request_tracker", SystemClock(), **{**login, **options})

    return request_tracker_bench(make, desk)


@pytest.mark.parametrize("case", REQUEST_TRACKER_CASES, ids=lambda case: case.__name__)
def test_on_request_tracker(case: Callable[[Bench, str], None], bench: Bench) -> None:
    case(bench, f"e{REQUEST_TRACKER_CASES.index(case)}")


def test_one_life_of_a_ticket_in_rts_own_history(bench: Bench, desk: RealDesk) -> None:
    ref = bench.tell(notice(episode="life"))
    bench.tell(all_resolved(episode="life", ref=ref))
    bench.tell(notice(episode="life-2", previous_ref=ref))

    _, history = desk.call("GET", f"ticket/{ref['ticket']}/history?fields=Type,OldValue,NewValue,Creator&per_page=100")
    told = [(item["Type"], item["NewValue"]) for item in history["items"] if item["Creator"]["id"] == "fixer"]
    assert [kind for kind, _ in told if kind in ("Create", "Comment")] == ["Create", "Comment", "Comment"]
    assert [status for kind, status in told if kind == "Status"] == ["resolved", "open"]


def test_the_text_for_the_fixer_is_kept_whole(bench: Bench, desk: RealDesk) -> None:
    ref = bench.tell(notice(episode="text"))

    _, parts = desk.call("GET", f"ticket/{ref['ticket']}/attachments?fields=Content,ContentType")
    text = str(parts["items"][0]["Content"])
    assert "Attempt:     3 of 3" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "https://airflow.example.com/dags/orders_daily/runs/1/tasks/load?try=3" in text
    assert text.rstrip().endswith("Watchtower notice wt-text-1")


def test_the_traps_are_still_there(desk: RealDesk) -> None:
    """What the code is written against; a newer RT may mend them, and then the comments should say so."""
    made = {"Queue": "Bare", "Subject": "x", "CustomFields": {"WatchtowerKey": "k"}}
    code, dropped = desk.call("POST", "ticket", made)
    _, shown = desk.call("GET", f"ticket/{dropped['id']}")
    assert (code, shown["CustomFields"]) == (201, [])

    code, said = desk.call("PUT", f"ticket/{dropped['id']}", {"Status": "fixed"})
    assert (code, "isn't a valid status" in said[0]) == (200, True)

    code, said = desk.call("GET", "tickets?query=" + quote("CF.{NoSuchField} = 'k'"))
    assert (code, said["total"]) == (200, 0)

    code, said = desk.call("POST", "ticket/1/comment", {"Content": "x", "ContentType": "text/plain"}, user="guest")
    assert (code, said["message"]) == (400, "Permission Denied")
