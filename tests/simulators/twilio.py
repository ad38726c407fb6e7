"""Twilio, as far as text messages and calls go: it keeps state, runs the TwiML of a call with a scripted callee, and
calls back with its signature.

Faithful where it hurts: a POST is not idempotent, a list shows nothing of the caller's own, a message that waits has no
`DateSent` and is left out of lists filtered by it, callbacks may come twice or in any order, and a voicemail answers.
The signature is computed here by Twilio's documentation, not by its client.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree

import urllib3

from tests.simulators.http import HttpSimulator, Recorded, Reply

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "twilio-auth-token"
FROM = "+4915000000001"
TO = "+4915112345678"
OTHER = "+4915187654321"
API = f"/2010-04-01/Accounts/{ACCOUNT}"

_HTTP = urllib3.PoolManager(retries=False, timeout=20.0)
_PAGE = 50


@dataclass
class Callee:
    """Who answers a call. keys: what they press at each Gather, None for nothing; hangs_up: after how many sentences;
    answered_by: as Twilio's machine detection says; status: of a call that is not answered at all."""

    keys: list[str | None] = field(default_factory=list[str | None])
    hangs_up: int | None = None
    answered_by: str = ""
    status: str = ""
    sip_code: str = ""


@dataclass
class Heard:
    """A call as its callee heard it. answers: of our server to each callback, in order."""

    said: list[str] = field(default_factory=list[str])
    answers: list[tuple[str, int, str]] = field(default_factory=list[tuple[str, int, str]])
    recorded: bool = False  # by a voicemail


@dataclass(frozen=True)
class Callback:
    """One that Twilio made: to be made again, or changed."""

    url: str
    form: Mapping[str, str]


class TwilioSimulator(HttpSimulator):
    """ledger: (kind, to) of each text and each call that a telephone would have shown. external_url: what our server is
    called from outside; reach: where it really listens."""

    ledger: list[tuple[str, str]]

    def __init__(self, now: datetime, token: str = TOKEN) -> None:
        super().__init__(now)
        self.token = token
        self.messages: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.callees: dict[str, Callee] = {}
        self.callbacks: list[Callback] = []
        self.unsubscribed: set[str] = set()
        self.external_url = ""
        self.reach = ""
        self.lag = timedelta(0)
        self.waits = False  # messages stay queued: they have no DateSent
        self.may_read = True
        self._refusals: list[tuple[int, int]] = []
        self._count = 0

    def refuse_with(self, status: int, code: int) -> None:
        self._refusals.append((status, code))

    # -- the API ----------------------------------------------------------------------------------------------------

    def answer(self, request: Recorded) -> Reply:
        login = base64.b64encode(f"{ACCOUNT}:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return _error(401, 20003, "Authenticate")
        if request.method == "GET" and not self.may_read:
            return _error(403, 20403, "Forbidden")
        do = {
            ("POST", f"{API}/Messages.json"): lambda: self._text(_form(request)),
            ("POST", f"{API}/Calls.json"): lambda: self._call(_form(request)),
            ("GET", f"{API}/Messages.json"): lambda: self._listed("messages", self.messages, request),
            ("GET", f"{API}/Calls.json"): lambda: self._listed("calls", self.calls, request),
        }.get((request.method, request.path))
        return do() if do else _error(404, 20404, f"The requested resource {request.path} was not found")

    def _text(self, form: Mapping[str, list[str]]) -> Reply:
        to = form.get("To", [""])[0]
        refusal = self._refusal(to)
        if refusal is not None:
            return refusal
        if to in self.unsubscribed:
            return _error(400, 21610, "Attempt to send to unsubscribed recipient")
        made = {
            "sid": self._sid("SM"),
            "account_sid": ACCOUNT,
            "to": to,
            "from": form.get("From", [None])[0],
            "messaging_service_sid": form.get("MessagingServiceSid", [None])[0],
            "body": form.get("Body", [""])[0],
            "status": "queued",
            "direction": "outbound-api",
            "date_created": _rfc2822(self.now),
            "date_sent": None if self.waits else _rfc2822(self.now),
            "error_code": None,
            "num_segments": "1",
        }
        self.messages.append({**made, "at": self.now, "form": form})
        self.ledger.append(("sms", to))
        return Reply.of_json(made, 201)

    def _call(self, form: Mapping[str, list[str]]) -> Reply:
        to = form.get("To", [""])[0]
        refusal = self._refusal(to)
        if refusal is not None:
            return refusal
        made = {
            "sid": self._sid("CA"),
            "account_sid": ACCOUNT,
            "to": to,
            "from": form.get("From", [""])[0],
            "status": "queued",
            "direction": "outbound-api",
            "date_created": _rfc2822(self.now),
            "start_time": None,
            "answered_by": None,
        }
        self.calls.append({**made, "at": self.now, "form": form})
        self.ledger.append(("call", to))
        return Reply.of_json(made, 201)

    def _refusal(self, to: str) -> Reply | None:
        if self._refusals:
            status, code = self._refusals.pop(0)
            return _error(status, code, f"The number {to} was refused by the test")
        if not (to.startswith("+") and to[1:].isdigit() and 8 <= len(to) <= 16):
            return _error(400, 21211, f"Invalid 'To' Phone Number: {to}")
        return None

    def _listed(self, key: str, items: Sequence[dict[str, Any]], request: Recorded) -> Reply:
        asked = request.query
        shown = [item for item in items if self.now - item["at"] >= self.lag]
        for name, column in (("To", "to"), ("From", "from")):
            if asked.get(name):
                shown = [item for item in shown if item[column] == asked[name]]
        if any(name.startswith("DateSent") for name in asked):
            shown = [item for item in shown if item["date_sent"] is not None]
        page, size = int(asked.get("Page", 0)), min(_PAGE, int(asked.get("PageSize", _PAGE)))
        newest_first = list(reversed(shown))
        part = newest_first[page * size : (page + 1) * size]
        more = len(newest_first) > (page + 1) * size
        query = urlencode({**asked, "Page": page + 1, "PageSize": size, "PageToken": f"PA{page + 1}"})
        return Reply.of_json(
            {
                key: [{name: value for name, value in item.items() if name not in ("at", "form")} for item in part],
                "page": page,
                "page_size": size,
                "uri": request.path,
                "first_page_uri": request.path,
                "next_page_uri": f"{request.path}?{query}" if more else None,
                "previous_page_uri": None,
                "start": page * size,
                "end": page * size + len(part) - 1,
            }
        )

    # -- what happens to a call -------------------------------------------------------------------------------------

    def ring(self, sid: str = "") -> Heard:
        """The newest call, or the one of sid, from its first ring to its end."""
        call = next(item for item in reversed(self.calls) if not sid or item["sid"] == sid)
        callee = self.callees.get(call["to"], Callee())
        heard = Heard()
        self._report(call, heard, "initiated", 0)
        self._report(call, heard, "ringing", 1)
        if callee.status:
            more = {"SipResponseCode": callee.sip_code} if callee.sip_code else {}
            self._report(call, heard, callee.status, 2, CallDuration="0", **more)
            return heard
        answered = {"AnsweredBy": callee.answered_by} if callee.answered_by else {}
        self._report(call, heard, "in-progress", 2, **answered)
        self._run(call, callee, heard, answered)
        heard.recorded = callee.answered_by.startswith("machine")
        self._report(call, heard, "completed", 3, CallDuration="17", **answered)
        return heard

    def _run(self, call: dict[str, Any], callee: Callee, heard: Heard, answered: Mapping[str, str]) -> None:
        verbs = list(ElementTree.fromstring(call["form"]["Twiml"][0]))
        keys = list(callee.keys)
        while verbs:
            verb = verbs.pop(0)
            if verb.tag == "Hangup":
                return
            for say in [verb] if verb.tag == "Say" else verb.findall("Say"):
                heard.said.append(say.text or "")
                if callee.hangs_up is not None and len(heard.said) >= callee.hangs_up:
                    return
            key = keys.pop(0) if keys and verb.tag == "Gather" else None
            if key is None:
                continue
            status, body = self.press(call, key, verb.get("action", ""), **answered)
            heard.answers.append((f"key {key}", status, body))
            verbs = list(ElementTree.fromstring(body)) if status == 200 else []

    def press(self, call: dict[str, Any], digits: str, action: str, **more: str) -> tuple[int, str]:
        form = {**self._of_call(call, "in-progress"), "Digits": digits, "msg": "Gather End", **more}
        return self.call_back(Callback(action, form))

    def _of_call(self, call: dict[str, Any], status: str) -> dict[str, str]:
        return {
            "CallSid": call["sid"],
            "AccountSid": ACCOUNT,
            "From": call["from"],
            "To": call["to"],
            "CallStatus": status,
            "Direction": "outbound-api",
            "ApiVersion": "2010-04-01",
        }

    def _report(self, call: dict[str, Any], heard: Heard, status: str, sequence: int, **more: str) -> None:
        call["status"] = "queued" if status == "initiated" else status
        call["start_time"] = _rfc2822(self.now) if status == "in-progress" else call["start_time"]
        urls = call["form"].get("StatusCallback")
        event = {"in-progress": "answered"}.get(status, status)
        wanted = call["form"].get("StatusCallbackEvent", ["completed"])
        if not urls or (event if event in ("initiated", "ringing", "answered") else "completed") not in wanted:
            return
        form = {
            **self._of_call(call, status),
            "Timestamp": _rfc2822(self.now + timedelta(seconds=sequence)),
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(sequence),
            **more,
        }
        answer, body = self.call_back(Callback(urls[0], form))
        heard.answers.append((status, answer, body))

    # -- what happens to a message ----------------------------------------------------------------------------------

    def report_text(self, status: str, code: str = "", sid: str = "") -> tuple[int, str]:
        """The status callback of the newest message, or the one of sid."""
        message = next(item for item in reversed(self.messages) if not sid or item["sid"] == sid)
        message["status"] = status
        form = {
            "MessageSid": message["sid"],
            "SmsSid": message["sid"],
            "AccountSid": ACCOUNT,
            "From": message["from"] or "",
            "To": message["to"],
            "MessageStatus": status,
            "SmsStatus": status,
            "ApiVersion": "2010-04-01",
            **({"ErrorCode": code} if code else {}),
        }
        return self.call_back(Callback(message["form"]["StatusCallback"][0], form))

    def text_us(self, body: str, from_: str = TO, sid: str = "") -> tuple[int, str]:
        """Somebody texts our number. The status, and what is texted back, "" for nothing."""
        form = {
            "MessageSid": sid or self._sid("SM"),
            "AccountSid": ACCOUNT,
            "From": from_,
            "To": FROM,
            "Body": body,
            "NumMedia": "0",
            "NumSegments": "1",
            "ApiVersion": "2010-04-01",
        }
        status, text = self.call_back(Callback(f"{self.external_url}/hooks/twilio/sms", form))
        if status != 200:
            return status, text
        return status, ElementTree.fromstring(text).findtext("Message") or ""

    # -- calling back -----------------------------------------------------------------------------------------------

    def call_back(self, callback: Callback, **headers: str) -> tuple[int, str]:
        """Make it, signed, as the reverse proxy before our server would hand it on. headers: over the usual ones."""
        self.callbacks.append(callback)
        said = {"X-Twilio-Signature": sign(callback.url, callback.form, self.token), **headers}
        return self.deliver(callback, said)

    def deliver(self, callback: Callback, headers: Mapping[str, str]) -> tuple[int, str]:
        assert callback.url.startswith(self.external_url), callback.url
        inner = self.reach + callback.url.removeprefix(self.external_url)
        body = urlencode(callback.form)
        usual = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "User-Agent": "TwilioProxy/1.1"}
        answer = _HTTP.request("POST", inner, body=body, headers={**usual, **headers})
        return answer.status, answer.data.decode()

    def _sid(self, begins: str) -> str:
        self._count += 1
        return f"{begins}{self._count:032x}"


def sign(url: str, form: Mapping[str, str], token: str, digest: str = "sha1") -> str:
    """Twilio's documentation: the URL, then each parameter, sorted, name and value run together."""
    said = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), said.encode(), getattr(hashlib, digest))).decode()


def _form(request: Recorded) -> dict[str, list[str]]:
    return parse_qs(request.body.decode(), keep_blank_values=True)


def _error(status: int, code: int, message: str) -> Reply:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = json.dumps({"code": code, "message": message, "more_info": more, "status": status}).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


def _rfc2822(when: datetime) -> str:
    return format_datetime(when)
