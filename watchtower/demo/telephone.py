"""The demo's telephone: stands in for Twilio's API on a loopback port, so that a call is placed and answered for real.

It takes calls and texts as Twilio's `Calls.json` and `Messages.json` do, lets a person listen, and sends the key that
they press to the address in the call's own TwiML, signed as Twilio signs it. Nothing leaves this machine.
"""

import base64
import hashlib
import hmac
import json
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree

from watchtower.ports import Clock

ACCOUNT = "AC" + "0" * 32
TOKEN = "demo-telephone"  # noqa: S105 - it opens nothing but this stand-in
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(slots=True)
class Rang:
    """One call or text. at: by the replay's clock, aware UTC; heard: what a call said, or a text; pressed: the key, and
    answered: what was said to it."""

    kind: str
    sid: str
    to: str
    from_: str
    at: datetime
    heard: list[str] = field(default_factory=list[str])
    pressed: str = ""
    answered: str = ""


class Telephone:
    """Listens from `start` to `close`. pick_up: whoever is rung listens to the end and presses key 1, once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[tuple[Rang, str]] = []  # with the TwiML of the call
        self.rang: list[Rang] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="telephone", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pick_up(self) -> int:
        """Answer every call that rings; their number."""
        with self._lock:
            ringing, self._waiting = self._waiting, []
        for rang, twiml in ringing:
            self._answer(rang, twiml)
        return len(ringing)

    def take(self, kind: str, form: Mapping[str, list[str]]) -> dict[str, Any]:
        """A call (`Calls`) or a text (`Messages`) is ordered; Twilio's answer to it."""
        is_call, to, from_ = kind == "Calls", form["To"][0], form["From"][0]
        with self._lock:
            sid = f"{'CA' if is_call else 'SM'}{len(self.rang) + 1:032x}"
            rang = Rang("call" if is_call else "text", sid, to, from_, self._clock.now())
            self.rang.append(rang)
            if is_call:
                self._waiting.append((rang, form["Twiml"][0]))
            else:
                rang.heard.append(form["Body"][0])
        return _shown(rang)

    def listed(self, kind: str) -> dict[str, Any]:
        """What was ordered so far, the newest first: for whoever looks up whether an order arrived."""
        wanted = "call" if kind == "Calls" else "text"
        with self._lock:
            found = [_shown(rang) for rang in reversed(self.rang) if rang.kind == wanted]
        return {kind.lower(): found, "page": 0, "page_size": len(found), "next_page_uri": None}

    def _answer(self, rang: Rang, twiml: str) -> None:
        gather = ElementTree.fromstring(twiml).find("Gather")  # noqa: S314 - our own server wrote it
        if gather is None:
            return
        rang.heard += [say.text or "" for say in gather.findall("Say")]
        rang.pressed = "1"
        said = {
            "CallSid": rang.sid,
            "AccountSid": ACCOUNT,
            "From": rang.from_,
            "To": rang.to,
            "CallStatus": "in-progress",
            "Direction": "outbound-api",
            "ApiVersion": "2010-04-01",
            "Digits": rang.pressed,
        }
        answer = ElementTree.fromstring(_call_back(gather.get("action", ""), said))  # noqa: S314 - likewise
        rang.answered = " ".join(say.text or "" for say in answer.iter("Say"))


def _shown(rang: Rang) -> dict[str, Any]:
    said = {"sid": rang.sid, "account_sid": ACCOUNT, "to": rang.to, "from": rang.from_, "status": "queued"}
    moment = format_datetime(rang.at)
    return {**said, "date_created": moment, "date_sent": moment, "start_time": moment, "body": "".join(rang.heard)}


def _call_back(url: str, form: Mapping[str, str]) -> bytes:
    """Signed as Twilio documents it: the URL, then each parameter by name, its name and value run together."""
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    signature = base64.b64encode(hmac.digest(TOKEN.encode(), text.encode(), hashlib.sha1)).decode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    request = urllib.request.Request(url, urlencode(form).encode(), headers)  # noqa: S310 - http, on loopback
    with _LOCAL.open(request, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def _handler(telephone: Telephone) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            kind = self.path.rpartition("/")[2].removesuffix(".json")
            self._say(201, telephone.take(kind, form))

        def do_GET(self) -> None:
            kind = self.path.partition("?")[0].rpartition("/")[2].removesuffix(".json")
            self._say(200, telephone.listed(kind))

        def _say(self, status: int, answer: Mapping[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The replay's own output is enough."""

    return Handler
