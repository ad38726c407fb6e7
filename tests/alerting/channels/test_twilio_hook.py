"""Whatever comes in at the hook is understood or refused: nothing else, and nothing of it does more than it may."""

from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.callbacks import Purpose, link
from alerting.channels.phone import SmsConfig, VoiceConfig
from alerting.channels.twilio_hook import TwilioHook, bound
from tests.alerting.desks import TWILIO, context
from tests.alerting.notices import NOW
from tests.simulators.twilio import ACCOUNT, FROM, OTHER, TO, TOKEN, sign
from watchtower.model.hook import (
    Acknowledge,
    Distrust,
    HookAct,
    HookRefused,
    HookRequest,
    HookResult,
    Nothing,
    Outcome,
    Recall,
    Reply,
    Report,
)
from watchtower.ports import Callbacks

EXTERNAL = "https://watchtower.example.com"
CALLBACKS = Callbacks(f"{EXTERNAL}/hooks", b"k" * 32)
HOOK = TwilioHook(
    {
        "team/voice[0]": VoiceConfig.model_validate({**TWILIO, "language": "de-DE"}),
        "team/sms[0]": SmsConfig.model_validate({**TWILIO, "replies": True}),
    },
    replace(context(), callbacks=CALLBACKS),
)
CALL = {"CallSid": "CA" + "1" * 32, "AccountSid": ACCOUNT, "To": TO, "From": FROM, "CallStatus": "in-progress"}
TEXT = {"MessageSid": "SM" + "1" * 32, "AccountSid": ACCOUNT, "To": FROM, "From": TO}


def path_of(action: str) -> str:
    if action == "sms":
        return action
    made = link(CALLBACKS, Purpose("twilio", action, bound(ACCOUNT, TO)), "notice-1", NOW)
    return made.removeprefix(f"{CALLBACKS.url}/twilio/")


def request(path: str, form: dict[str, str], query: str = "") -> HookRequest:
    """Rightly signed."""
    url = f"{EXTERNAL}/hooks/twilio/{path}{query}"
    return HookRequest(url, path, {"x-twilio-signature": sign(url, form, TOKEN)}, urlencode(form).encode())


def read(action: str, form: dict[str, str]) -> HookAct:
    return HOOK.read(request(path_of(action), form), NOW)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.binary(max_size=300), st.dictionaries(st.text(max_size=20), texts, max_size=3), texts, texts)
def test_whatever_is_not_signed_is_refused(body: bytes, headers: dict[str, str], path: str, signature: str) -> None:
    said = {**headers, "x-twilio-signature": signature}
    with pytest.raises(HookRefused):
        HOOK.read(HookRequest(f"{EXTERNAL}/hooks/twilio/{path}", path, said, body), NOW)


@given(
    st.sampled_from(["voice", "status", "sms"]),
    st.dictionaries(st.sampled_from([*CALL, *TEXT, "Digits", "Body", "AnsweredBy", "SequenceNumber"]) | texts, texts),
)
def test_whatever_is_signed_is_understood_or_refused(action: str, changes: dict[str, str]) -> None:
    form = {**(TEXT if action == "sms" else CALL), **changes}
    sent = request(path_of(action), form)
    try:
        act = HOOK.read(sent, NOW)
    except HookRefused:
        return
    assert not (action == "status" and isinstance(act, Acknowledge | Reply)), "a report acknowledges nothing"
    for outcome in Outcome:
        answer = HOOK.answer(sent, act, HookResult(outcome))
        assert answer.status in (200, 204, 503)
        assert (b"Acknowledged. Goodbye" in answer.body) <= (outcome in (Outcome.RECORDED, Outcome.REPEATED))


@pytest.mark.parametrize(
    ("digits", "kind"),
    [("1", Acknowledge), ("4", Acknowledge), ("0", Recall), ("*", Recall), ("9", Recall), ("", Recall), ("11", Recall)],
)
def test_a_key_means_one_thing(digits: str, kind: type[HookAct]) -> None:
    assert isinstance(read("voice", {**CALL, "Digits": digits}), kind)


@pytest.mark.parametrize("status", ["initiated", "ringing", "in-progress", "completed", "busy", "no-answer", "failed"])
def test_a_status_acknowledges_nothing(status: str) -> None:
    act = read("status", {**CALL, "CallStatus": status, "Digits": "1"})
    assert isinstance(act, Report)
    assert act.failed is (status in ("busy", "no-answer", "failed"))
    assert act.hopeless is (status == "failed")


def test_a_machine_presses_no_key() -> None:
    assert isinstance(read("voice", {**CALL, "Digits": "1", "AnsweredBy": "machine_start"}), Nothing)
    assert isinstance(read("voice", {**CALL, "Digits": "1", "AnsweredBy": "human"}), Acknowledge)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({**TEXT, "Body": "1", "From": OTHER}, Distrust.STRANGER),
        ({**TEXT, "Body": "1", "AccountSid": "AC" + "f" * 32}, Distrust.ACCOUNT),
        ({**TEXT, "Body": "1", "MessageSid": "x"}, Distrust.UNREADABLE),
    ],
)
def test_a_text_of_somebody_else_is_refused(form: dict[str, str], reason: Distrust) -> None:
    with pytest.raises(HookRefused) as caught:
        read("sms", form)
    assert caught.value.reason is reason


def test_a_prompt_speaks_the_language_of_the_call_and_counts() -> None:
    path = path_of("voice")
    sent = request(path, {**CALL, "Digits": "9"}, "?prompt=2")
    answer = HOOK.answer(sent, HOOK.read(sent, NOW), HookResult(Outcome.RECORDED)).body.decode()
    assert f"{EXTERNAL}/hooks/twilio/{path}?prompt=3" in answer
    assert 'language="de-DE"' in answer


def test_without_an_address_of_its_own_no_link_is_believed() -> None:
    hook = TwilioHook({"x": VoiceConfig.model_validate(TWILIO)}, context())
    with pytest.raises(HookRefused) as caught:
        hook.read(request(path_of("voice"), {**CALL, "Digits": "1"}), NOW)
    assert caught.value.reason is Distrust.TOKEN
