"""What Twilio calls back: keys pressed in a call, answers to a text, and what became of messages and calls.

Sources: Twilio's pages of TwiML's Gather, of call and message status callbacks, and "Webhooks security". No signature
carries a time, so nothing here depends on coming once: links expire, and each callback counts once.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from xml.etree import ElementTree

from alerting.callbacks import Purpose, subject_of
from alerting.channels.phone import SmsConfig, VoiceConfig, actor, telephones
from alerting.channels.segments import fitted, simplified
from alerting.channels.speech import KEYS, NO_KEY, Speaker, goodbye, prompt, spoken
from alerting.channels.twilio_api import Form, check_signature
from alerting.escaping import one_line
from watchtower.model.alert import Notice, NoticeReason
from watchtower.model.hook import (
    Acknowledge,
    Distrust,
    HookAct,
    HookAnswer,
    HookRefused,
    HookRequest,
    HookResult,
    Nothing,
    Outcome,
    Recall,
    Reply,
    Report,
)
from watchtower.ports import ChannelContext

ACKNOWLEDGES = ("1", "4")  # 4 is PagerDuty's key, which fingers remember
AGAIN = ("0", "*")
MOST_PROMPTS = 4  # of one call, beside the announcement
TEST = "test-"

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")
_CODE = re.compile(r"#?([0-9a-f]{6})")
_WORDS = frozenset({"1", "4", "ack", "ok", "acknowledge"})
# Twilio answers these itself, or the law wants them left alone.
_CARRIERS = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "start", "unstop", "help", "info"}
)
_CALL_ENDS: Mapping[str, tuple[str, bool]] = {  # words for the timeline, and whether the person was not reached
    "in-progress": ("the call was answered", False),
    "completed": ("the call ended", False),
    "busy": ("the line was busy", True),
    "no-answer": ("nobody answered", True),
    "canceled": ("the call was cancelled", True),
    "failed": ("the call could not be put through", True),
}
_TEXT_ENDS: Mapping[str, tuple[str, bool]] = {
    "delivered": ("the text reached the telephone", False),
    "undelivered": ("the text was not delivered", True),
    "failed": ("the text could not be sent", True),
}
# Errors of a text after which the next one fares no better (Twilio's error dictionary, 30004 and on).
_HOPELESS = {
    "30004": "the receiver blocks messages",
    "30005": "the number is unknown",
    "30006": "a landline, or a carrier that cannot be reached",
    "30007": "filtered as spam by a carrier",
    "30032": "the toll-free sender is not verified",
    "30034": "the sender is not registered (A2P 10DLC)",
    "21610": "the receiver has answered STOP",
}
_SANE = timedelta(hours=1)  # how far Twilio's clock may be from ours before ours is believed


def bound(account_sid: str, number: str) -> str:
    """What a link is bound to: the number that was called, in its account."""
    return f"{account_sid} {number}"


def subject_for(notice: Notice) -> str:
    """The notice that a link is about; a test is marked, since nobody has it to acknowledge."""
    return f"{TEST}{notice.id}" if notice.reason is NoticeReason.TEST else notice.id


class TwilioHook:
    """`/hooks/twilio/voice/<link>`, `/hooks/twilio/status/<link>` and `/hooks/twilio/sms`."""

    name: ClassVar[str] = "twilio"

    def __init__(self, destinations: Mapping[str, Any], context: ChannelContext) -> None:
        self._telephones = telephones(destinations)
        self._context = context

    def read(self, request: HookRequest, now: datetime) -> HookAct:
        form = Form(request.body)
        account = form.get("AccountSid", "")
        mine = [phone for phone in self._telephones.values() if phone.account_sid == account]
        if not mine:
            raise HookRefused(Distrust.ACCOUNT, f"no destination is of the Twilio account {one_line(account, 40)!r}")
        secrets = dict.fromkeys(secret for phone in mine for secret in phone.signers(self._context))
        check_signature(request.url, form, request.headers, list(secrets))
        action, _, token = request.path.partition("/")
        match action:
            case "sms" if not token:
                return self._reply(form)
            case "voice":
                return _key(form, self._subject(action, token, form, now), self._who(form.get("To", "")))
            case "status":
                return _report(form, self._subject(action, token, form, now), now)
            case _:
                raise HookRefused(Distrust.TOKEN, f"there is no hook twilio/{one_line(action, 40)}")

    def answer(self, request: HookRequest, act: HookAct, result: HookResult) -> HookAnswer:
        action = request.path.partition("/")[0]
        if action == "status":
            return HookAnswer(status=503 if result.outcome is Outcome.UNAVAILABLE else 204)
        form = Form(request.body)
        if action == "sms":
            words = _words_for_reply(act, result, form.get("Body", ""))
            return _twiml(_message(words))
        return _twiml(self._speak(request, form, act, result))

    # -- reading --------------------------------------------------------------------------------------------------

    def _subject(self, action: str, token: str, form: Form, now: datetime) -> str:
        callbacks = self._context.callbacks
        if callbacks is None:
            raise HookRefused(Distrust.TOKEN, "no links are given out while server.external_url is not configured")
        called = bound(form.get("AccountSid", ""), form.get("To", ""))
        return subject_of(callbacks, Purpose(self.name, action, called), token, now)

    def _reply(self, form: Form) -> HookAct:
        sender, account = form.get("From", ""), form.get("AccountSid", "")
        reached = {
            name: phone
            for name, phone in self._telephones.items()
            if phone.to == sender and phone.account_sid == account
        }
        if not any(isinstance(phone, SmsConfig) and phone.replies for phone in reached.values()):
            raise HookRefused(Distrust.STRANGER, "a text came from a number whose replies are not taken")
        said = form.get("Body", "").strip().lower().rstrip(".!").split()
        codes = [found[1] for word in said if (found := _CODE.fullmatch(word))]
        rest = [word for word in said if not _CODE.fullmatch(word)]
        if len(codes) > 1 or len(rest) > 1 or not said or any(word not in _WORDS for word in rest):
            return Nothing()
        event = f"{_sid(form, 'MessageSid')}/reply"
        return Reply(event, self._who(sender), "by text", tuple(sorted(reached)), codes[0] if codes else "")

    def _who(self, number: str) -> str:
        """The actor behind a number."""
        person = self._context.people.person_by_phone(number)
        return f"person:{person}" if person else actor(number)

    # -- answering ------------------------------------------------------------------------------------------------

    def _speak(self, request: HookRequest, form: Form, act: HookAct, result: HookResult) -> str:
        speaker = self._speaker(form)
        if _is_machine(form):
            return goodbye("This call was taken for an answering machine, so no key counts. Goodbye.", speaker)
        if isinstance(act, Nothing):
            return goodbye("The key has arrived. This was a test. Goodbye.", speaker)
        if isinstance(act, Acknowledge) and result.outcome is not Outcome.UNAVAILABLE:
            return goodbye(_CONFIRMED.get(result.outcome, _NOT_KNOWN), speaker)
        prompts = _prompts(request.url)
        if prompts >= MOST_PROMPTS:
            return goodbye(NO_KEY if isinstance(act, Recall) else f"{_NOT_RECORDED} Goodbye.", speaker)
        if isinstance(act, Acknowledge):
            words = [_NOT_RECORDED, "Press 1 to try again."]
        else:
            wrong = form.get("Digits", "") not in AGAIN
            said = [spoken(result.notice)] if result.notice else []
            words = [*(["That key does nothing."] if wrong else []), *said, KEYS]
        return prompt(words, f"{request.url.partition('?')[0]}?prompt={prompts + 1}", speaker)

    def _speaker(self, form: Form) -> Speaker:
        """The language of the call, as the destination that made it has it."""
        for phone in self._telephones.values():
            if isinstance(phone, VoiceConfig) and phone.to == form.get("To", ""):
                return Speaker(phone.language, phone.voice)
        return Speaker()


_CONFIRMED = {
    Outcome.RECORDED: "Acknowledged. Goodbye.",
    Outcome.REPEATED: "Acknowledged. Goodbye.",
    Outcome.OVER: "This is over already. Nothing was acknowledged. Goodbye.",
}
_NOT_KNOWN = "Watchtower does not know this call any more. Nothing was acknowledged. Goodbye."
_NOT_RECORDED = "This could not be recorded. It is not acknowledged."


def _key(form: Form, subject: str, by: str) -> HookAct:
    """What a pressed key asks for. Nothing but a key does anything: an answered or completed call does not."""
    digits = form.get("Digits", "")
    call = _sid(form, "CallSid")
    if _is_machine(form) or subject.startswith(TEST):
        return Nothing()
    if digits in ACKNOWLEDGES:
        return Acknowledge(f"{call}/acknowledged", by, f"by key {digits}", notice_id=subject)
    return Recall(subject)


def _report(form: Form, subject: str, now: datetime) -> HookAct:
    if subject.startswith(TEST):
        return Nothing()
    of_call = "CallSid" in form
    sid = _sid(form, "CallSid" if of_call else "MessageSid")
    status = one_line(form.get("CallStatus" if of_call else "MessageStatus", ""), 40)
    words, failed = (_CALL_ENDS if of_call else _TEXT_ENDS).get(status, ("", False))
    sequence = form.get("SequenceNumber", "")
    code = form.get("ErrorCode", "") or form.get("SipResponseCode", "")
    hopeless = failed and (code in _HOPELESS or (of_call and status == "failed"))
    return Report(
        notice_id=subject,
        provider_id=sid,
        status=status,
        at=_moment(form.get("Timestamp", ""), now),
        sequence=int(sequence) if re.fullmatch("[0-9]{1,6}", sequence) else None,
        text=_told(words, form, code) if words else "",
        failed=failed,
        hopeless=hopeless,
    )


def _told(words: str, form: Form, code: str) -> str:
    machine = " by a machine" if _is_machine(form) else ""
    seconds = form.get("CallDuration", "")
    lasted = (
        f" after {seconds} s" if form.get("CallStatus") == "completed" and re.fullmatch("[0-9]{1,6}", seconds) else ""
    )
    why = f" (error {one_line(code, 10)}{': ' + _HOPELESS[code] if code in _HOPELESS else ''})" if code else ""
    return f"{words}{machine}{lasted}{why}"


def _sid(form: Form, field: str) -> str:
    sid = form.get(field, "")
    if not _SID.fullmatch(sid):
        raise HookRefused(Distrust.UNREADABLE, f"{field} is not there, or is none")
    return sid


def _is_machine(form: Form) -> bool:
    return form.get("AnsweredBy", "").startswith(("machine", "fax"))


def _moment(text: str, now: datetime) -> datetime:
    """When Twilio says it happened, if that can be."""
    try:
        said = parsedate_to_datetime(text)
    except ValueError:
        return now
    said = said if said.tzinfo else said.replace(tzinfo=UTC)
    return said.astimezone(UTC) if abs(said - now) < _SANE else now


def _prompts(url: str) -> int:
    """How often this call was asked for a key again; part of what is signed."""
    found = re.search(r"[?&]prompt=([0-9]{1,3})(?:&|$)", url)
    return int(found[1]) if found else 0


# -- texts --------------------------------------------------------------------------------------------------------


_REPLIES = {
    Outcome.RECORDED: "Acknowledged: ",
    Outcome.REPEATED: "Acknowledged: ",
    Outcome.ALREADY: "Nothing to do, it is acknowledged already: ",
    Outcome.OVER: "That is over already. Nothing was acknowledged.",
    Outcome.UNKNOWN: "Nothing that you were told of is open. Nothing was acknowledged.",
    Outcome.UNAVAILABLE: "This could not be recorded. It is NOT acknowledged. Please try again.",
}
_NAMED = frozenset({Outcome.RECORDED, Outcome.REPEATED, Outcome.ALREADY})
_TYPED = 12  # characters; what is longer and not understood may be an automaton, which must not be answered


def _words_for_reply(act: HookAct, result: HookResult, said: str) -> str:
    """What is texted back; "": nothing, for words that carriers answer themselves."""
    if isinstance(act, Nothing):
        is_word = len(said) <= _TYPED and said.strip().lower() not in _CARRIERS
        return "Not understood. Reply 1 to acknowledge, or 1 and the code." if is_word else ""
    if result.outcome is Outcome.AMBIGUOUS:
        return "Which one? Reply " + "; ".join(f"1 {code} for {one_line(name, 40)}" for code, name in result.choices)
    title = result.incident.title if result.incident and result.outcome in _NAMED else ""
    return _REPLIES[result.outcome] + title


def _message(words: str) -> str:
    response = ElementTree.Element("Response")
    if words:
        ElementTree.SubElement(response, "Message").text = fitted(one_line(simplified(words)), "", 2)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")


def _twiml(text: str) -> HookAnswer:
    return HookAnswer(text.encode(), "text/xml; charset=utf-8")
