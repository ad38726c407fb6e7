"""PagerDuty's Events API v2 and v1, with what hurts: an event is accepted before anybody knows what becomes of it, a
trigger after its resolve opens a new incident, events of a disabled service are accepted and dropped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.simulators.http import HttpSimulator, Recorded, Reply

ROUTING_KEY = "e93facc04764012d7bfb002500d5d1a6"
SERVICE_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
MAX_EVENT = 512_000
ACTIONS = ("trigger", "acknowledge", "resolve")


@dataclass(slots=True)
class IncidentRow:
    """log: the events that PagerDuty has filed under it, in order."""

    dedup_key: str
    status: str
    severity: str
    summary: str
    log: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])


class PagerDutySimulator(HttpSimulator):
    """ledger: the incidents. disabled: the service takes events and makes nothing of them."""

    ledger: list[IncidentRow]

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.disabled = False

    @property
    def events_url(self) -> str:
        return f"{self.url}/v2/enqueue"

    def person(self, index: int, status: str) -> None:
        """A person acknowledges or resolves an incident in PagerDuty."""
        self.ledger[index].status = status

    def answer(self, request: Recorded) -> Reply:
        if request.method != "POST":
            return Reply(405)
        if len(request.body) > MAX_EVENT:
            return _refused(413, "Event object is too large")
        try:
            event = request.json
        except ValueError:
            return _refused(400, "Event object is invalid", "JSON parse error")
        if request.path == "/v2/enqueue":
            return self._v2(event)
        if request.path == "/generic/2010-04-15/create_event.json":
            return self._v1(event)
        return Reply(404, b"")

    def _v2(self, event: dict[str, Any]) -> Reply:
        faults = list(faults_of(event))
        if not faults and event["routing_key"] != ROUTING_KEY:
            faults = ["Invalid routing key"]
        if faults:
            return _refused(400, "Event object is invalid", *faults)
        key = event.get("dedup_key") or f"made-up-{len(self.ledger)}"
        payload = event.get("payload", {})
        self._file(key, event["event_action"], event, payload.get("severity", ""), payload.get("summary", ""))
        return Reply.of_json({"status": "success", "message": "Event processed", "dedup_key": key}, 202)

    def _v1(self, event: dict[str, Any]) -> Reply:
        wanted = {"service_key": SERVICE_KEY, "event_type": event.get("event_type")}
        named = event.get("event_type") in ACTIONS and event.get("incident_key") and event.get("description")
        if not named or {name: event.get(name) for name in wanted} != wanted:
            return _refused(400, "Event object is invalid", "Service key is invalid")
        key = event["incident_key"]
        self._file(key, event["event_type"], event, "", event["description"])
        return Reply.of_json({"status": "success", "message": "Event processed", "incident_key": key})

    def _file(self, key: str, action: str, event: Mapping[str, Any], severity: str, summary: str) -> None:
        if self.disabled:
            return
        row = next((row for row in self.ledger if row.dedup_key == key and row.status != "resolved"), None)
        if row is None and action == "trigger":
            self.ledger.append(IncidentRow(key, "triggered", severity, summary, [event]))
        elif row is not None:
            row.log.append(event)
            if action != "trigger":
                row.status = f"{action}d"


def faults_of(event: Any) -> list[str]:
    """What PagerDuty would find wrong with an event, in the order of its documentation."""
    if not isinstance(event, dict):
        return ["JSON parse error"]
    given: dict[str, Any] = event  # pyright: ignore[reportUnknownVariableType]  # any JSON object
    found: list[str] = []
    if len(str(given.get("routing_key", ""))) != 32:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    action = given.get("event_action")
    if action not in ACTIONS:
        found.append("'event_action' is missing or unknown")
    if action in ("acknowledge", "resolve") and not given.get("dedup_key"):
        found.append("'dedup_key' is missing or blank")
    if len(str(given.get("dedup_key", ""))) > 255:
        found.append("'dedup_key' is too long (maximum is 255 characters)")
    if action == "trigger":
        found += _payload_faults(given.get("payload"))
    found += ["'links' need a href" for link in given.get("links", ()) if not link.get("href")]
    sources = [str(image.get("src", "")) for image in given.get("images", ())]
    found += ["'images' must be served via HTTPS" for source in sources if not source.startswith("https://")]
    return found


def _payload_faults(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    given: dict[str, Any] = payload  # pyright: ignore[reportUnknownVariableType]  # any JSON object
    found = [
        f"'payload.{name}' is missing or blank" for name in ("summary", "source", "severity") if not given.get(name)
    ]
    if len(str(given.get("summary", ""))) > 1024:
        found.append("'payload.summary' is too long (maximum is 1024 characters)")
    if given.get("severity") not in ("critical", "error", "warning", "info"):
        found.append("'payload.severity' is invalid (must be one of: critical, warning, error, info)")
    if not isinstance(given.get("custom_details", {}), dict):
        found.append("'payload.custom_details' must be an object")
    return found


def _refused(status: int, message: str, *errors: str) -> Reply:
    return Reply(status, json.dumps({"status": "invalid event", "message": message, "errors": errors}).encode())
