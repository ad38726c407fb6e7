"""A telephone rings, and one key tells everybody that somebody has it: the whole way in one process, on both stores."""

import base64
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running
from tests.cli.terminal import runner
from tests.simulators.twilio import ACCOUNT, FROM, OTHER, TO, TOKEN, Callback, Callee, TwilioSimulator, sign
from watchtower.clock import ManualClock
from watchtower.errors import StoreUnavailable
from watchtower.model.hook import Distrust
from watchtower.server import hooks
from watchtower.telemetry.instruments import REGISTRY

EXTERNAL = "https://watchtower.example.com"
PERSON = "phone:+49********678"
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


@pytest.fixture
def calling(tmp_path: Path, clock: ManualClock) -> Generator[tuple[House, TwilioSimulator]]:
    """A page that has just made the telephone ring, on SQLite."""
    with phones(tmp_path, f"sqlite:///{tmp_path}/watchtower.db", clock) as (house, twilio):
        house.fail("orders_daily")
        house.instance.step()
        yield house, twilio


def incident(house: House) -> dict[str, Any]:
    [found] = house.items("/api/v1/incidents?status=triggered&status=acknowledged")
    return house.get(f"/api/v1/incidents/{found['id']}")


def timeline(house: House) -> list[str]:
    return [line["text"] for line in incident(house)["timeline"]]


def acknowledgements(house: House) -> list[dict[str, Any]]:
    return [row for row in house.items("/api/v1/audit") if row["action"] == "incident.acknowledge"]


def refusals(reason: str) -> float:
    found = REGISTRY.get_sample_value("watchtower_hook_requests_total", {"hook": "twilio", "result": reason})
    return found or 0.0


def key_of(twilio: TwilioSimulator) -> Callback:
    """The last key that was pressed, as Twilio sent it."""
    return next(item for item in reversed(twilio.callbacks) if "Digits" in item.form)


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
        assert (found["status"], found["acknowledged_by"]) == ("acknowledged", PERSON)
        assert any("by key 1" in line["text"] for line in found["timeline"])
        [entry] = acknowledgements(house)
        assert entry["actor"] == PERSON

        pressed = key_of(twilio)
        assert [twilio.call_back(pressed)[0] for _ in range(3)] == [200, 200, 200]
        assert "Acknowledged. Goodbye." in twilio.call_back(pressed)[1]
        assert len(acknowledgements(house)) == 1, "a repeat changes nothing"

        clock.advance(11 * 60)
        house.instance.step()
        assert twilio.ledger == [("call", TO)], "nobody else is rung"
        ended = {row["destination"]: (row["state"], row["reason"]) for row in house.items("/api/v1/deliveries")}
        assert ended == {"first/voice[0]": ("delivered", None), "second/sms[0]": ("superseded", "acknowledged")}


CALLEES: dict[str, tuple[Callee, str]] = {
    "nothing": (Callee(), "This is not acknowledged"),
    "hangs up": (Callee(keys=["1"], hangs_up=1), "orders daily"),
    "a voicemail": (Callee(answered_by="machine_start"), "This is not acknowledged"),
    "a voicemail that beeps like a 1": (Callee(keys=["1"], answered_by="machine_end_beep"), "answering machine"),
    "only wrong keys": (Callee(keys=list("9876543")), "No key was pressed"),
    "a star for ever": (Callee(keys=list("*0*0*0*")), "No key was pressed"),
}


@pytest.mark.parametrize("callee", CALLEES)
def test_nothing_but_the_key_acknowledges(calling: tuple[House, TwilioSimulator], callee: str) -> None:
    house, twilio = calling
    twilio.callees[TO], last = CALLEES[callee]
    heard = twilio.ring()
    found = incident(house)
    assert found["status"] == "triggered"
    assert acknowledgements(house) == []
    assert last in heard.said[-1]
    assert len(heard.said) <= 20, "the call comes to an end"
    assert any(line["kind"] == "reached" for line in found["timeline"])


def test_a_wrong_key_is_told_and_the_next_one_counts(calling: tuple[House, TwilioSimulator]) -> None:
    house, twilio = calling
    twilio.callees[TO] = Callee(keys=["9", "0", "4"])
    said = twilio.ring().said
    assert said[-1] == "Acknowledged. Goodbye."
    assert said.count("That key does nothing.") == 1
    assert sum("orders daily" in words for words in said) == 3, "announced, after the wrong key, and asked for by 0"
    assert "by key 4" in " ".join(timeline(house))


def test_while_the_store_is_away_the_caller_hears_the_truth_and_may_press_again(
    calling: tuple[House, TwilioSimulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, twilio = calling
    database = house.instance.database
    write, away = database.write, [True]

    def sometimes(unit: Any, timeout_s: float | None = 60.0) -> Any:
        if timeout_s == hooks.PATIENCE_S and away:
            away.pop()
            raise StoreUnavailable("the store is away")
        return write(unit, timeout_s)

    monkeypatch.setattr(database, "write", sometimes)
    twilio.callees[TO] = Callee(keys=["1", "1"])
    away.append(True)  # the first report of the call, and the first key
    call = twilio.calls[-1]
    del call["form"]["StatusCallback"]
    away.pop()
    said = twilio.ring().said
    assert any("could not be recorded" in words for words in said)
    assert said[-1] == "Acknowledged. Goodbye."
    assert said.index("Press 1 to try again.") < len(said) - 1
    assert incident(house)["status"] == "acknowledged"


def test_a_key_of_an_old_call_does_not_acknowledge_what_came_later(
    calling: tuple[House, TwilioSimulator], clock: ManualClock
) -> None:
    house, twilio = calling
    twilio.callees[TO] = Callee(keys=["5"])
    twilio.ring()
    old = Callback(key_of(twilio).url, {**key_of(twilio).form, "Digits": "1"})
    clock.advance(60)
    house.store(house.event("START", "orders_daily", "again"), house.event("COMPLETE", "orders_daily", "again"))
    house.instance.step()
    clock.advance(1_000)  # longer than what comes back takes
    house.fail("orders_daily", "third")
    house.instance.step()
    assert len(twilio.calls) == 2

    status, body = twilio.call_back(old)

    assert (status, "over already" in body) == (200, True)
    assert incident(house)["status"] == "triggered"
    assert acknowledgements(house) == []


def test_forty_forgeries_are_refused_and_counted(calling: tuple[House, TwilioSimulator], clock: ManualClock) -> None:
    house, twilio = calling
    twilio.callees[TO] = Callee(keys=["5"])
    twilio.ring()
    good = Callback(key_of(twilio).url, {**key_of(twilio).form, "Digits": "1"})
    status_url = next(item.url for item in twilio.callbacks if "/status/" in item.url)
    before = {reason: refusals(reason.value) for reason in Distrust}

    tried = 0
    for callback, headers in forgeries(good, status_url):
        status, body = twilio.deliver(callback, headers)
        assert status == 403, (callback, headers, body)
        tried += 1
    for callback in misused(good, status_url):  # rightly signed, with a link that is not good for it
        assert twilio.call_back(callback)[0] == 403, callback
        tried += 1
    clock.advance(49 * 3600)
    assert twilio.call_back(good)[0] == 403
    tried += 1

    assert tried >= 40
    counted = sum(refusals(reason.value) - before[reason] for reason in Distrust)
    assert counted == tried
    assert refusals("expired") - before[Distrust.EXPIRED] == 1
    assert incident(house)["status"] == "triggered"
    assert acknowledgements(house) == []


def forgeries(good: Callback, status_url: str) -> Iterator[tuple[Callback, dict[str, str]]]:
    """Callbacks whose signature does not fit them. good: what would acknowledge."""
    right = sign(good.url, good.form, TOKEN)
    name = "X-Twilio-Signature"
    texts = ["", " ", "x", right[:-1], right[1:], right.swapcase(), right + "=", f"v0={right}", right[::-1], "=" * 28]
    texts += [base64.b64encode(b"\0" * 20).decode(), base64.b64encode(b"\0" * 32).decode(), "A" * 5_000, "é" * 14]
    texts += [sign(good.url, good.form, other) for other in ("", "twilio-auth-tokeN", TOKEN[::-1], ACCOUNT)]
    texts += [sign(good.url, good.form, TOKEN, "sha256"), sign(good.url, {}, TOKEN), sign("", good.form, TOKEN)]
    for text in texts:
        yield good, {name: text.encode().decode("latin-1")}
    yield good, {}
    yield good, {name: right, "X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_SHA256"}
    yield good, {name: right, "X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=NONE"}
    for changes in ({"Digits": "4"}, {"To": OTHER}, {"CallSid": "CA" + "9" * 32}, {"More": "1"}, {"AccountSid": ""}):
        yield Callback(good.url, {**good.form, **changes}), {name: right}
    for url in (good.url + "?prompt=0", good.url + "0", good.url.replace("/voice/", "/status/"), status_url):
        yield Callback(url, good.form), {name: right}
    yield Callback(good.url, {name: good.form[name] for name in good.form if name != "Digits"}), {name: right}
    yield Callback(good.url.replace("https:", "http:").replace("http:", "https:"), {}), {name: right}


def misused(good: Callback, status_url: str) -> Iterator[Callback]:
    head, _, token = good.url.rpartition("/")
    subject, expires, mac = token.split(".")
    later = str(int(expires) + 86_400)
    for wrong in (
        *(f"{subject}.{later}.{mac}", f"{'0' * 32}.{expires}.{mac}", f"{subject}.{expires}.{mac[::-1]}"),
        *(f"{subject}.{expires}.", f"{subject}..{mac}", f"{subject}.{expires}", "x", f".{expires}.{mac}"),
        *(f"{subject}.-1.{mac}", f"{subject}.{expires}.{mac[:-1]}", f"{subject}.{expires}{'0' * 20}.{mac}"),
    ):
        yield Callback(f"{head}/{wrong}", good.form)
    yield Callback(good.url.replace("/voice/", "/status/"), good.form)
    yield Callback(status_url.replace("/status/", "/voice/"), good.form)
    yield Callback(good.url, {**good.form, "To": OTHER})
    yield Callback(good.url, {**good.form, "CallSid": "nonsense"})
    yield Callback(good.url.replace("/voice/", "/other/"), good.form)
    yield Callback(good.url, {**good.form, "AccountSid": "AC" + "f" * 32})


def test_the_reports_of_a_call_come_in_any_order_and_any_number_of_times(
    calling: tuple[House, TwilioSimulator],
) -> None:
    house, twilio = calling
    twilio.callees[TO] = Callee()
    twilio.ring()
    reports = [item for item in twilio.callbacks if "SequenceNumber" in item.form]
    before = incident(house)["timeline"]
    for callback in [*reversed(reports), *reports]:
        assert twilio.call_back(callback)[0] == 204
    assert incident(house)["timeline"] == before
    assert [line["text"] for line in before if line["kind"] == "reached"] == [
        "first/voice[0]: the call was answered",
        "first/voice[0]: the call ended after 17 s",
    ]


def test_a_late_report_does_not_overrule_a_newer_one(calling: tuple[House, TwilioSimulator]) -> None:
    house, twilio = calling
    call = twilio.calls[-1]
    url = call["form"]["StatusCallback"][0]
    base = {"CallSid": call["sid"], "AccountSid": ACCOUNT, "To": TO, "From": FROM, "CallbackSource": "x"}
    newer = Callback(url, {**base, "CallStatus": "completed", "SequenceNumber": "3"})
    older = Callback(url, {**base, "CallStatus": "no-answer", "SequenceNumber": "2"})
    assert [twilio.call_back(item)[0] for item in (newer, older)] == [204, 204]
    [delivery] = [row for row in house.items("/api/v1/deliveries") if row["destination"] == "first/voice[0]"]
    assert delivery["error"] is None


@pytest.mark.parametrize("status", ["busy", "no-answer"])
def test_who_was_not_reached_is_told_by_the_timeline_and_the_ledger(
    calling: tuple[House, TwilioSimulator], status: str
) -> None:
    house, twilio = calling
    twilio.callees[TO] = Callee(status=status)
    twilio.ring()
    [line] = [line for line in incident(house)["timeline"] if line["kind"] == "not_reached"]
    assert line["text"].startswith("first/voice[0]: ")
    [delivery] = [row for row in house.items("/api/v1/deliveries") if row["destination"] == "first/voice[0]"]
    assert (delivery["state"], delivery["error"]) == ("delivered", line["text"].partition(": ")[2])
    assert [row["labels"]["alertname"] for row in house.items("/api/v1/alerts")] == ["OrdersFailed"]


def test_a_number_that_cannot_be_reached_is_an_alert_for_the_others(
    calling: tuple[House, TwilioSimulator], clock: ManualClock
) -> None:
    house, twilio = calling
    twilio.callees[TO] = Callee(status="failed", sip_code="404")
    twilio.ring()
    clock.advance(11 * 60)
    house.instance.step()
    [alert] = [row for row in house.items("/api/v1/alerts") if row["labels"]["alertname"] == "WatchtowerDeliveryFailed"]
    assert alert["labels"]["destination"] == "first/voice[0]"
    told = [row for row in house.items("/api/v1/deliveries") if row["fingerprint"] == alert["fingerprint"]]
    assert [row["destination"] for row in told] == ["second/sms[0]"]
    assert any("could not be told" in item["body"] for item in twilio.messages)


def test_the_key_of_a_person_on_call_is_theirs(tmp_path: Path, clock: ManualClock) -> None:
    with TwilioSimulator(clock.now()) as twilio:
        text = f"""
store: sqlite:///{tmp_path}/watchtower.db
server: {{external_url: "{EXTERNAL}"}}
outbound: {{allow: [127.0.0.0/8]}}
rules: [{{alert: OrdersFailed, kind: run_failure, match: {{pipeline: orders_daily}}, severity: page}}]
oncall:
  people: {{primary: {{phone: "{TO}", methods: [voice]}}}}
  twilio: {{account_sid: {ACCOUNT}, auth_token: {TOKEN}, from: "{FROM}", base_url: "{twilio.url}"}}
route: {{receiver: on-call, group_wait: 0s}}
receivers: [{{name: on-call, oncall_configs: [{{person: primary}}]}}]
"""
        with running(tmp_path, text, clock=clock, live=False) as house:
            twilio.external_url, twilio.reach = EXTERNAL, house.instance.url
            house.fail("orders_daily")
            house.instance.step()
            twilio.callees[TO] = Callee(keys=["1"])
            assert twilio.ring().said[-1] == "Acknowledged. Goodbye."
            assert incident(house)["acknowledged_by"] == "person:primary"
            assert [entry["actor"] for entry in acknowledgements(house)] == ["person:primary"]


def test_a_test_call_shows_that_a_key_comes_back_and_acknowledges_nothing(
    calling: tuple[House, TwilioSimulator],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    house, twilio = calling
    watchtower = runner(monkeypatch, capsys)
    answer = watchtower("notify", "test", "first", "--config", house.config, "--state", tmp_path / "state")
    assert answer.code == 0, answer.said
    assert twilio.ledger == [("call", TO)] * 2
    twilio.callees[TO] = Callee(keys=["1"])
    said = twilio.ring().said
    assert said[0].startswith("This is a test call of Watchtower.")
    assert said[-1] == "The key has arrived. This was a test. Goodbye."
    assert incident(house)["status"] == "triggered"
    assert acknowledgements(house) == []


# -- replies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def texting(tmp_path: Path, clock: ManualClock) -> Generator[tuple[House, TwilioSimulator]]:
    with phones(tmp_path, f"sqlite:///{tmp_path}/watchtower.db", clock, second="0s") as (house, twilio):
        house.fail("orders_daily")
        house.instance.step()
        assert twilio.ledger.count(("sms", OTHER)) == 1
        yield house, twilio


def code_in(body: str) -> str:
    return body.rpartition("#")[2]


@pytest.mark.parametrize("words", ["1", " Ack. ", "ACK #{code}"])
def test_a_reply_acknowledges(texting: tuple[House, TwilioSimulator], words: str) -> None:
    house, twilio = texting
    body = twilio.messages[-1]["body"]
    assert "Reply 1 to ack" in body
    status, answer = twilio.text_us(words.format(code=code_in(body)), from_=OTHER)
    assert (status, answer.startswith("Acknowledged: ")) == (200, True), answer
    assert incident(house)["acknowledged_by"] == "phone:+49********321"
    assert len(acknowledgements(house)) == 1


def test_of_two_incidents_a_bare_reply_takes_neither_and_a_code_takes_one(
    texting: tuple[House, TwilioSimulator], clock: ManualClock
) -> None:
    house, twilio = texting
    clock.advance(5)
    house.fail("orders_weekly")
    house.instance.step()
    first, second = (code_in(item["body"]) for item in twilio.messages)
    _, answer = twilio.text_us("1", from_=OTHER)
    assert (first in answer, second in answer, acknowledgements(house)) == (True, True, [])
    _, answer = twilio.text_us(f"1 {first}", from_=OTHER)
    assert "orders_daily" in answer
    _, answer = twilio.text_us("1", from_=OTHER, sid="SM" + "7" * 32)
    assert "orders_weekly" in answer, "now only one is left"
    assert len(acknowledgements(house)) == 2
    assert twilio.text_us("1", from_=OTHER)[1].startswith("Nothing to do")
    assert twilio.text_us(f"1 {'0' * 6}", from_=OTHER)[1].startswith("Nothing that you were told of")


def test_the_same_reply_once_more_does_not_take_what_came_later(
    texting: tuple[House, TwilioSimulator], clock: ManualClock
) -> None:
    house, twilio = texting
    sid = "SM" + "5" * 32
    said = twilio.text_us("1", from_=OTHER, sid=sid)
    clock.advance(25 * 3600)
    house.fail("orders_weekly")
    house.instance.step()
    assert twilio.text_us("1", from_=OTHER, sid=sid) == said
    assert len(acknowledgements(house)) == 1


def test_what_is_no_answer_does_nothing(texting: tuple[House, TwilioSimulator]) -> None:
    house, twilio = texting
    assert twilio.text_us("STOP", from_=OTHER) == (200, "")
    assert twilio.text_us("I am driving at the moment and will answer later.", from_=OTHER) == (200, "")
    assert twilio.text_us("what?", from_=OTHER)[1].startswith("Not understood")
    assert twilio.text_us("1 or 2", from_=OTHER)[1].startswith("Not understood")
    assert twilio.text_us("1", from_="+4915199999999")[0] == 403, "a stranger"
    assert twilio.text_us("1", from_=TO)[0] == 403, "replies of this number were not asked for"
    assert incident(house)["status"] == "triggered"
    assert acknowledgements(house) == []


def test_a_text_that_was_not_delivered_stands_in_the_timeline_and_a_hopeless_one_is_an_alert(
    texting: tuple[House, TwilioSimulator], clock: ManualClock
) -> None:
    house, twilio = texting
    assert twilio.report_text("sent")[0] == 204
    assert twilio.report_text("undelivered", "30003")[0] == 204
    assert any("not delivered (error 30003)" in text for text in timeline(house))
    assert len(house.items("/api/v1/alerts")) == 1
    house.fail("orders_weekly")
    house.instance.step()
    assert twilio.report_text("undelivered", "30005")[0] == 204
    names = [row["labels"]["alertname"] for row in house.items("/api/v1/alerts")]
    assert names.count("WatchtowerDeliveryFailed") == 1
