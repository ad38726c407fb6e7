"""A page wakes one person after the other until somebody has it, from wherever they say so: the whole way."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from tests.app.house import HTTP, House, running
from tests.simulators import slack
from tests.simulators.slack import Message, SlackSimulator
from tests.simulators.twilio import ACCOUNT, FROM, OTHER, TO, TOKEN, Callee, TwilioSimulator
from watchtower.clock import ManualClock

EXTERNAL = "https://watchtower.example.com"
SECRET = "signing-secret-of-a-simulator"
MEMBER = "U0123PRIMARY"
CONFIG = """
server: {{external_url: {external}}}
outbound: {{allow: [127.0.0.0/8]}}
rules:
  - {{alert: OrdersFailed, kind: run_failure, match: {{pipeline: "~orders_.*"}}, severity: page}}
oncall:
  people:
    primary: {{name: Primary on call, phone: "{to}", slack: {member}, timezone: Europe/Berlin}}
    data-lead: {{phone: "{other}", methods: [voice]}}
  twilio:
    account_sid: {account}
    auth_token: {token}
    from: "{sender}"
    base_url: {twilio}
    replies: true
  escalations:
    data: {{steps: [{{notify: primary}}, {{wait: 5m}}, {{notify: data-lead}}]}}
  caps: {caps}
route: {{receiver: on-call, group_by: [pipeline], group_wait: 0s, group_interval: 30s}}
receivers:
  - name: on-call
    slack_configs:
      - {{app_token: {bot}, base_url: "{slack}", channel: C0000000001, signing_secret: {secret}, send_resolved: true}}
    oncall_configs: [{{escalation: data}}]
"""


@dataclass(frozen=True)
class Night:
    """Watchtower with its providers, on a clock that is moved by hand."""

    house: House
    twilio: TwilioSimulator
    slack: SlackSimulator
    clock: ManualClock

    def later(self, minutes: float) -> None:
        """Time passes, and all that falls due on the way is done."""
        until = self.clock.now() + timedelta(minutes=minutes)
        while (due := self.house.instance.next_due()) is not None and due <= until:
            self.clock.set(max(due, self.clock.now()))
            self._tell_time()
            self.house.instance.step()
        self.clock.set(until)
        self._tell_time()
        self.house.instance.step()

    def _tell_time(self) -> None:
        self.twilio.now = self.slack.now = self.clock.now()

    @property
    def incident(self) -> dict[str, Any]:
        [found] = self.house.items("/api/v1/incidents")
        return self.house.get(f"/api/v1/incidents/{found['id']}")

    @property
    def message(self) -> Message:
        """The one message in the channel; its thread holds the news."""
        [found] = [message for message in self.slack.ledger if message.thread_ts is None]
        return found

    def fates(self) -> dict[str, tuple[str, str | None]]:
        return {row["destination"]: (row["state"], row["reason"]) for row in self.house.items("/api/v1/deliveries")}

    def press(self, body: bytes, headers: dict[str, str]) -> int:
        answer = HTTP.request("POST", f"{self.house.instance.url}/hooks/slack", body=body, headers=headers)
        return answer.status

    def acknowledgements(self) -> list[dict[str, Any]]:
        return [row for row in self.house.items("/api/v1/audit") if row["action"] == "incident.acknowledge"]


@contextmanager
def night(folder: Path, store: str, clock: ManualClock, caps: str = "{}") -> Generator[Night]:
    with TwilioSimulator(clock.now()) as twilio, SlackSimulator(clock.now()) as chat:
        text = CONFIG.format(
            external=EXTERNAL, to=TO, other=OTHER, member=MEMBER, account=ACCOUNT, token=TOKEN, sender=FROM,
            twilio=twilio.url, slack=chat.api_url, bot=slack.TOKEN, secret=SECRET, caps=caps,
        )  # fmt: skip
        with running(folder, f"store: {store!r}\n{text}", clock=clock, live=False) as house:
            twilio.external_url, twilio.reach = EXTERNAL, house.instance.url
            yield Night(house, twilio, chat, clock)


@pytest.fixture
def woken(tmp_path: Path, clock: ManualClock) -> Generator[Night]:
    """The first text and the message in the channel have left, on SQLite."""
    with night(tmp_path, f"sqlite:///{tmp_path}/watchtower.db", clock) as made:
        made.house.fail("orders_daily")
        made.later(0)
        yield made


def test_one_after_the_other_is_woken_until_a_key_is_pressed(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    with night(tmp_path, database_url, clock) as it:
        it.house.fail("orders_daily")
        it.later(0)
        assert it.twilio.ledger == [("sms", TO)]
        steps = it.incident["escalation"]
        assert [(step["name"], step["method"], step["after_s"]) for step in steps] == [
            ("Primary on call", "sms", 0),
            ("Primary on call", "voice", 120),
            ("data-lead", "voice", 300),
        ]
        first, second, third = steps
        assert (first["next_at"], first["told_at"] is not None) == (None, True)
        assert second["next_at"] < third["next_at"]

        it.later(3)
        assert it.twilio.ledger == [("sms", TO), ("call", TO)]
        it.later(3)
        assert it.twilio.ledger == [("sms", TO), ("call", TO), ("call", OTHER)]
        it.later(1.5)
        assert it.twilio.ledger[3:] == [("call", TO)], "called again after five minutes"
        assert it.incident["escalation"][1]["redialed"] == 1

        it.twilio.callees[TO] = Callee(keys=["1"])
        it.twilio.ring()
        it.later(60)

        assert len(it.twilio.ledger) == 4, "nobody is woken any more"
        found = it.incident
        assert (found["status"], found["acknowledged_by"]) == ("acknowledged", "person:primary")
        assert [step["next_at"] for step in found["escalation"]] == [None, None, None]
        [entry] = it.acknowledgements()
        assert entry["actor"] == "person:primary"
        assert slack.button_of(it.message) is None
        assert "Acknowledged by primary." in json.dumps(it.message.content)


def test_a_button_in_slack_stops_what_was_still_owed_and_the_message_says_who_has_it(woken: Night) -> None:
    woken.later(1)
    now = woken.clock.now()
    body = slack.press(woken.message, MEMBER, now)
    assert woken.press(body, slack.signed(body, SECRET, now)) == 200
    woken.later(60)
    assert woken.twilio.ledger == [("sms", TO)]
    assert woken.incident["acknowledged_by"] == "person:primary"
    assert any("in Slack" in line["text"] for line in woken.incident["timeline"])
    assert woken.fates()["on-call/oncall[0]/2/data-lead/voice"] == ("superseded", "acknowledged")
    assert woken.message.edits == 1
    assert slack.button_of(woken.message) is None
    assert "Acknowledged by primary." in json.dumps(woken.message.content)
    assert len(woken.slack.ledger) == 1, "nothing new is said"

    assert [woken.press(body, slack.signed(body, SECRET, woken.clock.now())) for _ in range(3)] == [200, 200, 200]
    assert len(woken.acknowledgements()) == 1


def test_whoever_is_not_in_the_file_is_known_by_the_id_in_slack(woken: Night) -> None:
    now = woken.clock.now()
    body = slack.press(woken.message, "U9999STRANGER", now)
    assert woken.press(body, slack.signed(body, SECRET, now)) == 200
    assert woken.incident["acknowledged_by"] == "slack:U9999STRANGER"


def test_forged_stale_and_changed_presses_are_refused(woken: Night) -> None:
    now = woken.clock.now()
    body = slack.press(woken.message, MEMBER, now)
    good = slack.signed(body, SECRET, now)
    other = slack.press(woken.message, "U9999STRANGER", now)
    late, early = (slack.signed(body, SECRET, now + timedelta(seconds=s)) for s in (-301, 301))
    payload = json.loads(parse_qs(body.decode())["payload"][0])
    crooked = [
        b"",
        b"payload=",
        b"payload=[]",
        b"nonsense",
        b"\xff\xfe",
        urlencode({"payload": json.dumps({**payload, "user": {"id": "x"}})}).encode(),
        urlencode(
            {"payload": json.dumps({**payload, "actions": [{**payload["actions"][0], "value": "'; --"}]})}
        ).encode(),
    ]
    for sent, headers in (
        (body, {}),
        (body, {**good, "X-Slack-Signature": ""}),
        (body, {**good, "X-Slack-Signature": good["X-Slack-Signature"].replace("v0=", "v1=")}),
        (body, {**good, "X-Slack-Signature": "v0=" + "0" * 64}),
        (body, {**good, "X-Slack-Signature": "v0=ÿ"}),
        (body, slack.signed(body, SECRET + "x", now)),
        (body, {**good, "X-Slack-Request-Timestamp": str(int(now.timestamp()) + 1)}),
        (body, {**good, "X-Slack-Request-Timestamp": "soon"}),
        (other, good),
        (body + b"&x=1", good),
        (body, late),
        (body, early),
        *((each, slack.signed(each, SECRET, now)) for each in crooked),
    ):
        assert woken.press(sent, headers) == 403, (sent, headers)
    assert woken.incident["status"] == "triggered"
    assert woken.acknowledgements() == []


def test_what_is_no_press_of_our_button_does_nothing(woken: Night) -> None:
    now = woken.clock.now()
    payload = json.loads(parse_qs(slack.press(woken.message, MEMBER, now).decode())["payload"][0])
    others: list[dict[str, Any]] = [
        {**payload, "type": "view_submission"},
        {**payload, "actions": [{**payload["actions"][0], "action_id": "another_app"}]},
        {**payload, "actions": []},
    ]
    for made in others:
        body = urlencode({"payload": json.dumps(made)}).encode()
        assert woken.press(body, slack.signed(body, SECRET, now)) == 200
    assert woken.incident["status"] == "triggered"


def test_a_press_of_an_old_message_does_not_acknowledge_what_came_later(woken: Night) -> None:
    old = slack.press(woken.message, MEMBER, woken.clock.now())
    woken.later(1)
    house = woken.house
    house.store(house.event("START", "orders_daily", "again"), house.event("COMPLETE", "orders_daily", "again"))
    woken.later(1)
    house.fail("orders_daily", "third")
    woken.later(0)
    assert woken.press(old, slack.signed(old, SECRET, woken.clock.now())) == 200
    assert [item["status"] for item in house.items("/api/v1/incidents")] == ["triggered"]  # it came back


def test_taken_back_the_message_has_its_button_again_and_the_escalation_goes_on(woken: Night) -> None:
    now = woken.clock.now()
    body = slack.press(woken.message, MEMBER, now)
    woken.press(body, slack.signed(body, SECRET, now))
    woken.later(30)
    ident = woken.incident["id"]
    answer = HTTP.request(
        "POST",
        f"{woken.house.instance.url}/api/v1/incidents/{ident}/unacknowledge",
        headers={"Authorization": f"Bearer {woken.house.reader}"},
    )
    assert answer.status == 200
    woken.later(0)
    assert slack.button_of(woken.message) is not None
    assert woken.twilio.ledger == [("sms", TO), ("sms", TO)]
    woken.later(2)
    assert woken.twilio.ledger[2:] == [("call", TO)]


def test_numbers_stand_in_no_answer_and_no_page(woken: Night) -> None:
    house, ident = woken.house, woken.incident["id"]
    headers = {"Authorization": f"Bearer {house.reader}"}
    for path in (f"/api/v1/incidents/{ident}", "/api/v1/deliveries", "/api/v1/audit", f"/incidents/{ident}", "/"):
        text = HTTP.request("GET", house.instance.url + path, headers=headers).data.decode()
        assert TO not in text
        assert TO.removeprefix("+") not in text


def test_the_page_of_an_incident_says_who_is_next(woken: Night) -> None:
    headers = {"Authorization": f"Bearer {woken.house.reader}"}
    page = HTTP.request(
        "GET", f"{woken.house.instance.url}/incidents/{woken.incident['id']}", headers=headers
    ).data.decode()
    at = woken.clock.now() + timedelta(minutes=2)
    assert f"Next: call Primary on call at {at:%H:%M} UTC" in page
    assert "in Europe/Berlin)" in page


def test_the_button_on_the_page_acknowledges_and_takes_back(woken: Night) -> None:
    url, ident = woken.house.instance.url, woken.incident["id"]
    woken.later(1)
    code = woken.house.instance.first_access.one_time_link().partition("code=")[2]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    opened = HTTP.request("POST", f"{url}/login", body=f"code={code}".encode(), headers=form, redirect=False)
    cookie = opened.headers["set-cookie"].partition(";")[0]

    def button() -> tuple[str, str]:
        """Where the form of the page leads, and its token."""
        page = HTTP.request("GET", f"{url}/incidents/{ident}", headers={"Cookie": cookie}).data.decode()
        found = re.search(
            r'action="(/incidents/[^"]+)">\s*<input type="hidden" name="csrf_token" value="([^"]+)"', page
        )
        assert found, page
        return found[1], found[2]

    def send(path: str, token: str, **more: str) -> int:
        body = f"csrf_token={token}".encode()
        headers = {**form, "Cookie": cookie, **more}
        return HTTP.request("POST", url + path, body=body, headers=headers, redirect=False).status

    path, token = button()
    assert path.endswith("/acknowledge")
    assert send(path, "0" * len(token)) == 403
    assert send(path, token, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert woken.incident["status"] == "triggered"
    assert send(path, token) == 303
    assert woken.incident["acknowledged_by"] == "person:operator"
    woken.later(20)
    assert woken.twilio.ledger == [("sms", TO)]
    assert "Acknowledged by operator." in json.dumps(woken.message.content)
    path, token = button()
    assert path.endswith("/unacknowledge")
    assert send(path, token) == 303
    assert woken.incident["status"] == "triggered"
    woken.later(0)
    assert woken.twilio.ledger == [("sms", TO), ("sms", TO)]


def test_a_storm_wakes_one_person_only_so_often_and_the_channel_hears_of_it(tmp_path: Path, clock: ManualClock) -> None:
    caps = "{per_person_per_day: 3, texts: 0, calls: 0}"
    with night(tmp_path, f"sqlite:///{tmp_path}/watchtower.db", clock, caps) as it:
        for number in range(8):
            it.house.fail(f"orders_{number}")
        it.later(1)
        assert it.twilio.ledger == [("sms", TO)] * 3
        titles = [message.content["text"] for message in it.slack.ledger if message.thread_ts is None]
        assert sum("primary was sent 3 texts" in title or "PersonCapped" in title for title in titles) == 1, titles
        it.later(10)
        assert [to for _, to in it.twilio.ledger].count(TO) == 3
        assert ("call", OTHER) in it.twilio.ledger, "the next person is called"
        assert {reason for state, reason in it.fates().values() if state == "superseded"} == {"capped"}
