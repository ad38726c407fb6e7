"""As test_outbox_dies, with real texts and calls: Twilio's own client against a Twilio that outlives the sender.

A text is found again by its code, a call by elimination. No text is lost and none is sent twice; no telephone stays
silent and none rings twice for one notice.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from alerting.channels.sms import Sms
from alerting.channels.voice import Voice
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.desks import TWILIO, context
from tests.conftest import START
from tests.crash.test_outbox_dies import DIED, MOST_POINTS, POLICY, Point, check_ledger, commit, finish, live
from tests.simulators.twilio import TwilioSimulator
from watchtower.clock import ManualClock
from watchtower.ports import Channel, HttpAnswer, HttpClient
from watchtower.store.callbacks import SqlProofs
from watchtower.store.database import Database


class Pointed:
    """The guarded client, with a point before each request and one between its answer and whoever waits for it."""

    def __init__(self, client: HttpClient, point: Point) -> None:
        self._client, self._point = client, point

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
        ca_file: str | None = None,
    ) -> HttpAnswer:
        self._point()
        answer = self._client.request(method, url, headers=headers, body=body, timeout_s=timeout_s, ca_file=ca_file)
        self._point()
        return answer

    def check(self, url: str) -> None:
        self._client.check(url)


def _made(kind: type[Any], url: str, point: Point, clock: ManualClock, database: Database) -> Channel:
    usual = context(clock)
    around = replace(usual, http=Pointed(usual.http, point), proofs=SqlProofs(database))
    made: Channel = kind(kind.Config.model_validate({**TWILIO, "base_url": url}), around)
    return made


@pytest.mark.parametrize("kind", [Sms, Voice])
def test_a_telephone_is_told_once_wherever_its_sender_dies(database_url: str, kind: type[Any]) -> None:
    clock = ManualClock(START)
    deaths = 0
    with TwilioSimulator(clock.now()) as twilio:
        make = partial(_made, kind, twilio.url)
        for die_at in range(MOST_POINTS):
            twilio.now = clock.now()
            seen = len(twilio.ledger)
            alert = firing_alert(clock.now(), pipeline=f"orders{die_at}")
            commit(database_url, clock, fires(POLICY, alert))
            status = live(database_url, clock.now(), make, die_at)
            assert status in (0, DIED)
            clock.advance(5)
            twilio.now = clock.now()
            commit(database_url, clock, resolves(POLICY, resolved_alert(alert, clock.now())))
            finish(database_url, clock, make)
            made = (twilio.messages or twilio.calls)[seen:]
            said = [(item["form"].get("Body") or item["form"]["Twiml"])[0] for item in made]
            assert len(said) == len(set(said)) <= 2, f"seen twice after a death at point {die_at}: {said}"
            check_ledger(database_url, alert.id, [f"twilio:{item['sid']}" for item in made])
            clock.advance(3600)
            if status == 0:
                break
            deaths += 1
    assert 10 < deaths < MOST_POINTS
