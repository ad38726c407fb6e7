"""Texts and calls through Twilio's own client: what is sent, what a refusal means, and what is found again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from alerting.callbacks import LIFE, Purpose, link, subject_of
from alerting.channels.phone import SmsConfig, VoiceConfig, masked, own_country, reaches
from alerting.channels.segments import is_gsm, segments
from alerting.channels.sms import Sms, text_of
from alerting.channels.speech import MAX_TWIML, Speaker, announcement, for_ear, spoken
from alerting.channels.twilio_api import Form, check_signature
from alerting.channels.voice import Voice
from tests.alerting.desks import SHORT_S, TWILIO, Bench, context, sms_bench, voice_bench
from tests.alerting.notices import NOW, alert, all_resolved, late, notice
from tests.simulators.faults import Fault
from tests.simulators.twilio import ACCOUNT, FROM, TO, TOKEN, TwilioSimulator, sign
from watchtower.config import load_text
from watchtower.config.loading import examine
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.model.alert import Notice, NoticeReason
from watchtower.model.hook import HookRefused, reference
from watchtower.ports import Callbacks

CALLBACKS = Callbacks("https://watchtower.example.com/hooks", b"k" * 32)
MARK = f"#{reference('wt-e1-1')}"


def twilio_of(bench: Bench) -> TwilioSimulator:
    assert isinstance(bench.provider, TwilioSimulator)
    return bench.provider


# -- what a text says ---------------------------------------------------------------------------------------------


def test_a_text_begins_with_what_matters_and_ends_with_its_code() -> None:
    assert text_of(notice(), 2, replies=True) == (
        "PAGE orders_daily: task load failed on its last attempt: division by zero. since 08:00 UTC "
        f"https://watchtower.example.com/incidents/inc-7 Reply 1 to ack {MARK}"
    )


def test_the_cause_is_told_once() -> None:
    known = alert(evidence={"cause": "raw_orders is 3 h old"})
    assert "Cause: raw_orders is 3 h old" in text_of(notice(known), 3)


def test_an_end_asks_for_no_reply() -> None:
    text = text_of(all_resolved(), 2, replies=True)
    assert text.startswith("RESOLVED orders_daily")
    assert "Reply" not in text


STORIES: dict[str, Notice] = {
    "long": notice(alert(annotations={"summary": "orders_daily: " + "the table is not there " * 40})),
    "typography": notice(alert(annotations={"summary": "“orders” – 3 × slower… than usual"})),
    "another script": notice(alert("заказы", annotations={"summary": "заказы: задача load не выполнена " * 9})),
    "signs that count twice": notice(alert(annotations={"summary": "orders_daily: {[^~|\\€]} " * 20})),
    "line ends": notice(alert(annotations={"summary": "orders_daily:\r\nFrom: bank\x1b[31m\u202e\x00 pay\u2028now"})),
    "a long link": notice(external_url="https://" + "watchtower." * 20 + "example.com/"),
    "a group": notice(alert(), late(), *(late(f"p{number}") for number in range(30))),
    "resolved": all_resolved(),
    "a test": notice(reason=NoticeReason.TEST),
}


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("story", STORIES)
def test_no_text_takes_more_than_it_may(story: str, most: int) -> None:
    text = text_of(STORIES[story], most, replies=True)
    assert segments(text) <= most
    assert text.endswith(MARK if story != "resolved" else f"#{reference('wt-e1-2')}")
    assert text.isprintable()
    assert is_gsm(text) or story == "another script"


# -- what a call says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("orders_daily.load failed", "orders daily dot load failed"),
        ("ZeroDivisionError in dags/shop/orders.py", "Zero Division Error in dags shop orders dot py"),
        ("run 5f0e9c1a-1d2e-4b3c-8a9b-0c1d2e3f4a5b failed", "run an id failed"),
        ("scheduled__2026-03-02T07:00:00+00:00 is late", "of 07:00 is late"),
        ("see https://airflow.example.com/x?y=1 now", "see a link now"),
        ("95% & more <speak><break time='9s'/>", "95 percent and more speak break time is '9s'"),
        ("s3://bucket/key rows=0", "s3: bucket key rows is 0"),
    ],
)
def test_words_are_made_for_the_ear(text: str, said: str) -> None:
    assert for_ear(text) == said


def test_a_call_says_what_is_wrong_twice_and_waits_for_a_key() -> None:
    made = ElementTree.fromstring(
        announcement(notice(), "https://w.example.com/hooks/x", Speaker("en-GB", "Polly.Amy"))
    )
    assert [verb.tag for verb in made] == ["Gather", "Gather", "Say"]
    gather = made[0]
    assert {name: gather.get(name) for name in ("input", "numDigits", "timeout", "method", "action")} == {
        "input": "dtmf",
        "numDigits": "1",
        "timeout": "10",
        "method": "POST",
        "action": "https://w.example.com/hooks/x",
    }
    say = gather.findall("Say")
    assert [item.text for item in say] == [
        "This is Watchtower, with a page. orders daily: task load failed on its last attempt: division by zero. "
        "Since 08:00 UTC.",
        "Press 1 to acknowledge, 0 to hear it again.",
    ]
    assert (say[0].get("language"), say[0].get("voice")) == ("en-GB", "Polly.Amy")


@pytest.mark.parametrize("summary", ["&<>\"'" * 300, "ж" * 3_000, "</Say><Dial>+1900</Dial>", "]]>", "\x00\x0b"])
def test_data_is_spoken_and_is_never_markup(summary: str) -> None:
    made = announcement(notice(alert(annotations={"summary": summary})), "https://w.example.com/hooks/x", Speaker())
    assert len(made) <= MAX_TWIML
    tags = {element.tag for element in ElementTree.fromstring(made).iter()}
    assert tags == {"Response", "Gather", "Say"}


def test_without_a_way_back_a_call_does_not_ask_for_a_key() -> None:
    made = announcement(notice(), "", Speaker())
    assert "Gather" not in made
    assert "Acknowledge it in Watchtower" in made
    assert "Gather" not in announcement(all_resolved(), "https://w.example.com/hooks/x", Speaker())
    assert spoken(all_resolved()).startswith("This is Watchtower. All clear.")


# -- what is sent -------------------------------------------------------------------------------------------------


def made(kind: type[Any], bench: Bench, **options: Any) -> Any:
    given = {**TWILIO, "base_url": bench.provider.url, **options}
    around = replace(context(), callbacks=CALLBACKS)
    return kind(kind.Config.model_validate(given), around)


def test_a_call_tells_twilio_where_to_report() -> None:
    with voice_bench() as bench:
        made(Voice, bench, ring_timeout="25s", machine_detection="Enable").deliver(notice())
        form = twilio_of(bench).calls[0]["form"]
    assert form["StatusCallbackEvent"] == ["initiated", "ringing", "answered", "completed"]
    assert (form["Timeout"], form["MachineDetection"], form["From"]) == (["25"], ["Enable"], [FROM])
    token = form["StatusCallback"][0].rpartition("/")[2]
    assert subject_of(CALLBACKS, Purpose("twilio", "status", f"{ACCOUNT} {TO}"), token, NOW) == "notice-e1-1"


def test_a_text_can_come_from_a_messaging_service() -> None:
    with sms_bench() as bench:
        service = "MG" + "0" * 32
        chosen = made(
            Sms, bench, **{"from": None, "messaging_service_sid": service, "allow_countries": ["+49"]}
        ).deliver(notice())
        [message] = twilio_of(bench).messages
    assert (message["form"]["MessagingServiceSid"], message["from"]) == ([service], None)
    assert chosen.provider_id == f"twilio:{message['sid']}"


def test_the_process_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_EDGE", "TWILIO_REGION", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "elsewhere")
    with sms_bench() as bench:
        bench.channel.deliver(notice())
        assert bench.effects() == 1


# -- what a refusal means -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error", "reason", "says"),
    [
        (400, 21211, Permanent, Reason.REJECTED, "no valid number"),
        (400, 21610, Permanent, Reason.REJECTED, "START"),
        (400, 21408, Permanent, Reason.REJECTED, "geographic permissions"),
        (403, 21215, Permanent, Reason.REJECTED, "voice geographic permissions"),
        (400, 21617, Permanent, Reason.TOO_LARGE, "21617"),
        (401, 20003, Permanent, Reason.AUTH, "check account_sid"),
        (403, 20403, Permanent, Reason.AUTH, "403"),
        (404, 20404, Permanent, Reason.NOT_FOUND, "404"),
        (400, 99999, Permanent, Reason.REJECTED, "400"),
        (400, 21611, Transient, Reason.RATE_LIMITED, "21611"),
        (429, 20429, Transient, Reason.RATE_LIMITED, "429"),
        (503, 20503, Transient, Reason.SERVER_ERROR, "503"),
    ],
)
def test_an_error_of_twilio_is_understood(
    status: int, code: int, error: type[DeliveryError], reason: Reason, says: str
) -> None:
    with sms_bench() as bench:
        twilio_of(bench).refuse_with(status, code)
        with pytest.raises(error) as caught:
            bench.channel.deliver(notice())
    assert caught.value.reason is reason
    assert says in str(caught.value)
    assert caught.value.outcome_unknown is (status >= 500)
    assert TOKEN not in str(caught.value)
    assert TO not in str(caught.value)


def test_who_answered_stop_is_not_texted_again() -> None:
    with sms_bench() as bench:
        twilio_of(bench).unsubscribed.add(TO)
        with pytest.raises(Permanent, match="21610"):
            bench.channel.deliver(notice())


# -- what is found again ------------------------------------------------------------------------------------------


class Known:
    """Proofs as a test has them: named, and of which other notice an id is."""

    def __init__(self, named: Sequence[str] = (), foreign: Collection[str] = ()) -> None:
        self._named, self._foreign = named, foreign

    def named(self, notice_id: str) -> Sequence[str]:
        return self._named

    def foreign(self, provider_ids: Collection[str], notice_id: str) -> frozenset[str]:
        return frozenset(provider_ids) & frozenset(self._foreign)


def test_a_text_that_waits_at_twilio_is_found_too() -> None:
    with sms_bench(SHORT_S) as bench:
        twilio_of(bench).waits = True
        bench.provider.fail_next(Fault.ACCEPT_THEN_500)
        with pytest.raises(Transient):
            bench.channel.deliver(notice())
        found = bench.channel.look_up(notice())
        assert found is not None and found.provider_id == f"twilio:{twilio_of(bench).messages[0]['sid']}"
        assert bench.channel.look_up(notice(seq=2)) is None, "another notice has another code"


def test_a_text_is_found_behind_many_others_and_not_among_old_ones() -> None:
    with sms_bench() as bench:
        bench.channel.deliver(notice())
        for number in range(120):
            bench.channel.deliver(notice(seq=number + 2))
        assert bench.channel.look_up(notice()) is not None
        after = notice(first_attempt_at=NOW + timedelta(hours=1))
        assert bench.channel.look_up(after) is None
        asked = [request for request in bench.provider.requests if request.method == "GET"]
        assert 2 <= len(asked) <= 6
        assert not any("DateSent" in name for request in asked for name in request.query)


@pytest.mark.parametrize("bench", [sms_bench, voice_bench], ids=["sms", "voice"])
def test_what_never_left_twilio_is_sent_again(bench: Callable[[], Any]) -> None:
    with bench() as desk:
        desk.channel.deliver(notice())
        for item in (*twilio_of(desk).messages, *twilio_of(desk).calls):
            item["status"] = "failed"
        assert desk.channel.look_up(notice()) is None


@pytest.mark.parametrize("bench", [sms_bench, voice_bench], ids=["sms", "voice"])
def test_who_may_not_look_sends_again(bench: Callable[[], Any]) -> None:
    with bench() as desk:
        desk.channel.deliver(notice())
        twilio_of(desk).may_read = False
        assert desk.channel.look_up(notice()) is None


def test_a_call_is_found_by_its_callback_and_else_by_elimination() -> None:
    with voice_bench() as bench:
        for _ in range(3):
            bench.channel.deliver(notice())
        first, second, third = (call["sid"] for call in twilio_of(bench).calls)

        def found(proofs: Known, **changes: Any) -> str | None:
            around = replace(context(), proofs=proofs)
            config = VoiceConfig.model_validate({**TWILIO, "base_url": bench.provider.url})
            receipt = Voice(config, around).look_up(notice(**changes))
            return receipt.provider_id.removeprefix("twilio:") if receipt else None

        assert found(Known(named=[third])) == third
        assert found(Known()) == first
        assert found(Known(foreign=[first])) == second
        assert found(Known(foreign=[first]), ref={"sid": second}) == third, "not the call of the notice before"
        assert found(Known(foreign=[first, second, third])) is None
        assert found(Known(), first_attempt_at=NOW + timedelta(minutes=2)) is None
        twilio_of(bench).calls[0]["status"] = "no-answer"
        assert found(Known()) == first, "it rang"


# -- links and signatures -----------------------------------------------------------------------------------------


def test_a_link_is_good_for_one_thing_and_two_days() -> None:
    purpose = Purpose("twilio", "voice", f"{ACCOUNT} {TO}")
    token = link(CALLBACKS, purpose, "notice-1", NOW).rpartition("/")[2]
    assert subject_of(CALLBACKS, purpose, token, NOW + LIFE - timedelta(seconds=1)) == "notice-1"
    others = [
        replace(purpose, action="status"),
        replace(purpose, hook="slack"),
        replace(purpose, bound=f"{ACCOUNT} +1"),
    ]
    for other in others:
        with pytest.raises(HookRefused):
            subject_of(CALLBACKS, other, token, NOW)
    with pytest.raises(HookRefused, match="expired"):
        subject_of(CALLBACKS, purpose, token, NOW + LIFE)
    with pytest.raises(HookRefused):
        subject_of(replace(CALLBACKS, key=b"o" * 32), purpose, token, NOW)
    assert TO not in token
    assert "k" * 32 not in repr(CALLBACKS)


# Twilio's documentation, "Webhooks security", "Validating signatures from Twilio": its own example.
VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
VECTOR_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
VECTOR_TOKEN = "12345"


def test_the_documented_signature_is_believed() -> None:
    check_signature(VECTOR_URL, Form(VECTOR), {"x-twilio-signature": VECTOR_SIGNATURE}, [VECTOR_TOKEN])
    with_port = VECTOR_URL.replace("mycompany.com", "mycompany.com:443")
    check_signature(with_port, Form(VECTOR), {"x-twilio-signature": VECTOR_SIGNATURE}, [VECTOR_TOKEN])


def test_the_simulator_signs_as_documented() -> None:
    assert sign(VECTOR_URL, Form(VECTOR), VECTOR_TOKEN) == VECTOR_SIGNATURE


def test_a_second_secret_and_a_shared_key_are_believed_while_they_are_configured() -> None:
    form, url = Form(b"Digits=1"), "https://w.example.com/hooks/x"
    old = {"x-twilio-signature": sign(url, form, "old")}
    shared = {
        "x-twilio-signature": sign(url, form, "shared", "sha256"),
        "x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    check_signature(url, form, old, ["new", "old"])
    check_signature(url, form, shared, ["new", "shared"])
    for headers in (old, shared):
        with pytest.raises(HookRefused):
            check_signature(url, form, headers, ["new"])
        with pytest.raises(HookRefused):
            check_signature(url, form, headers, [])


# -- what is refused when the file is read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"to": "0171 1234567"}, "E.164"),
        ({"to": 4915112345678}, "quotes"),
        ({"to": "+49"}, "E.164"),
        ({"to": "+4915112345678\n"}, "E.164"),
        ({"to": "whatsapp:+4915112345678"}, "E.164"),
        ({"to": "+33123456789"}, "allow_countries"),
        ({"to": "+18765551234", "from": "+14155550100"}, "allow_countries"),
        ({"from": "Watchtower"}, "allow_countries"),
        ({"allow_countries": ["49x"]}, "country code"),
        ({"account_sid": "SK" + "0" * 32}, "account_sid"),
        ({"auth_token": None}, "auth_token"),
        ({"api_key": "SK" + "0" * 32}, "go together"),
        ({"max_segments": 11}, "max_segments"),
        ({"messaging_service_sid": "MG" + "0" * 32}, "exactly one"),
    ],
)
def test_a_text_that_would_go_wrong_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SmsConfig.model_validate({**TWILIO, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"from": "Watchtower", "allow_countries": ["+49"]}, "needs the number"),
        ({"auth_token": None, "api_key": "SK" + "0" * 32, "api_secret": "s"}, "which key was pressed"),
        ({"ring_timeout": "1h"}, "5s to 600s"),
        ({"machine_detection": "on"}, "machine_detection"),
        ({"language": "klingon language"}, "language"),
    ],
)
def test_a_call_that_would_go_wrong_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        VoiceConfig.model_validate({**TWILIO, **changes})


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+14155550100", "+1"),
        ("+18765551234", "+1876"),
        ("+79161234567", "+7"),
        ("+4915112345678", "+49"),
        ("+421212345678", "+421"),
        ("+6591234567", "+65"),
        ("+390612345678", "+39"),
    ],
)
def test_a_number_shows_its_country(number: str, country: str) -> None:
    assert own_country(number) == (country,)
    assert reaches(number, (country,))
    assert reaches(number, ("+1",)) is (country == "+1")


@pytest.mark.parametrize(
    ("number", "shown"),
    [("+4915112345678", "+49********678"), ("+14155550100", "+1*******100"), ("+4912345", "+49*****")],
)
def test_a_number_is_masked(number: str, shown: str) -> None:
    assert masked(number) == shown


FILE = """
receivers:
  - name: team
    voice_configs: [{{to: "{to}", from: "{sender}", account_sid: {account}, auth_token: env:T, machine_detection: off}}]
    sms_configs: [{{to: "{to}", from: "{sender}", account_sid: {account}, auth_token: env:T}}]
route: {{receiver: team}}
{more}
"""


def test_the_file_is_told_that_a_key_cannot_come_back_without_an_address() -> None:
    text = FILE.format(to=TO, sender=FROM, account=ACCOUNT, more="")
    warned = [str(item) for item in examine(text, environ={"T": TOKEN}).warnings]
    assert len(warned) == 1
    assert "voice_configs[0]" in warned[0] and "server.external_url" in warned[0]
    reachable = FILE.format(to=TO, sender=FROM, account=ACCOUNT, more="server: {external_url: https://w.example.com}")
    assert examine(reachable, environ={"T": TOKEN}).warnings == ()


def test_the_account_stands_once_in_the_file() -> None:
    text = f"""
global: {{twilio_account_sid: {ACCOUNT}, twilio_auth_token: env:T, twilio_from: "{FROM}"}}
receivers: [{{name: team, sms_configs: [{{to: "{TO}"}}]}}]
route: {{receiver: team}}
"""
    [destination] = load_text(text, environ={"T": TOKEN}).receivers["team"].destinations
    assert (destination.options.account_sid, destination.options.from_) == (ACCOUNT, FROM)
    assert destination.send_resolved is False
