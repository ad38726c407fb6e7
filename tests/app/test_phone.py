"""A telephone rings, and one key tells everybody that somebody has it: the whole way in one process, on both stores."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.app.house import House, running
from tests.simulators.twilio import ACCOUNT, FROM, OTHER, TO, TOKEN, Callee, TwilioSimulator
from watchtower.clock import ManualClock

EXTERNAL = "https://watchtower.example.com"
CONFIG = """
server: {{external_url: {external}}}
outbound: {{allow: [127.0.0.0/8]}}
rules:
  - {{alert: OrdersFailed, kind: run_failure, match: {{pipeline: "~orders_.*"}}, severity: page}}
global:
  twilio_account_sid: {account}
  twilio_auth_token: {token}
  twilio_from: "{sender}"
  twilio_base_url: {twilio}
route:
  receiver: first
  group_by: [pipeline]
  group_wait: 0s
  routes:
    - {{receiver: first, continue: true}}
    - {{receiver: second, group_wait: {second}}}
receivers:
  - name: first
    voice_configs: [{{to: "{to}"}}]
  - name: second
    sms_configs: [{{to: "{other}", replies: true}}]
"""


@contextmanager
def phones(
    folder: Path, store: str, clock: ManualClock, second: str = "10m"
) -> Generator[tuple[House, TwilioSimulator]]:
    """second: how long the second receiver waits."""
    with TwilioSimulator(clock.now()) as twilio:
        config = CONFIG.format(
            external=EXTERNAL,
            account=ACCOUNT,
            token=TOKEN,
            sender=FROM,
            to=TO,
            other=OTHER,
            twilio=twilio.url,
            second=second,
        )
        with running(folder, f"store: {store!r}\n{config}", clock=clock, live=False) as house:
            twilio.external_url, twilio.reach = EXTERNAL, house.instance.url
            yield house, twilio


def incident(house: House) -> dict[str, Any]:
    [found] = house.items("/api/v1/incidents")
    return house.get(f"/api/v1/incidents/{found['id']}")


def acknowledgements(house: House) -> list[dict[str, Any]]:
    return [row for row in house.items("/api/v1/audit") if row["action"] == "incident.acknowledge"]


def test_a_page_rings_a_telephone_and_one_key_quiets_the_others(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    with phones(tmp_path, database_url, clock) as (house, twilio):
        house.fail("orders_daily")
        house.instance.step()
        assert twilio.ledger == [("call", TO)]

        twilio.callees[TO] = Callee(keys=["1"])
        heard = twilio.ring()

        assert "orders daily" in heard.said[0]
        assert heard.said[-1] == "Acknowledged. Goodbye."
        assert {status for _, status, _ in heard.answers} <= {200, 204}
        found = incident(house)
        assert (found["status"], found["acknowledged_by"]) == ("acknowledged", "phone:+49********678")
        assert any("by key 1" in line["text"] for line in found["timeline"])
        [entry] = acknowledgements(house)
        assert entry["actor"] == "phone:+49********678"

        clock.advance(11 * 60)
        house.instance.step()
        assert twilio.ledger == [("call", TO)], "nobody else is rung"
        ended = {row["destination"]: (row["state"], row["reason"]) for row in house.items("/api/v1/deliveries")}
        assert ended == {"first/voice[0]": ("delivered", None), "second/sms[0]": ("superseded", "acknowledged")}
