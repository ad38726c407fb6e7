"""The three envelopes in which clouds and tools send events, read into one.

CloudEvents 1.0 (github.com/cloudevents/spec, "JSON Event Format", "HTTP Protocol Binding"), Amazon EventBridge
("Events" in its user guide), Azure Event Grid ("Event Grid event schema"). The headers of a binary CloudEvent are made
into the structured form at the door, so that what is kept is whole.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from collectors.events.fields import Fields, Json, Unfit
from collectors.openlineage.instants import parse_instant

VALIDATION: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"


class _Validation(msgspec.Struct, rename="camel"):
    event_type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """form: cloudevents, eventbridge or eventgrid. (source, id) is what makes it the same event. whole: as it was sent,
    with its data in the place that its form has for it."""

    form: str
    id: str
    source: str
    type: str
    time: datetime | None
    whole: Json
    data: Any
    traceparent: str | None = None


def envelope_of(said: Json) -> Envelope | None:
    """None: in none of the three. Raises Unfit where one of them lacks what it must have."""
    if "specversion" in said:
        return _cloud_event(said)
    if "detail-type" in said and "detail" in said:
        return _read(said, "eventbridge", source="source", kind="detail-type", time="time", data=said["detail"])
    if "eventType" in said and "eventTime" in said and "id" in said:
        return _read(said, "eventgrid", source="topic", kind="eventType", time="eventTime", data=said.get("data"))
    return None


def structured(headers: Mapping[bytes, bytes], body: bytes) -> bytes | None:
    """A binary CloudEvent as a structured one; None if it is none. headers: names in lower case."""
    if b"ce-specversion" not in headers:
        return None
    event: dict[str, Any] = {  # values are percent-encoded ("HTTP Protocol Binding", 3.1.3.2)
        name.decode("latin-1").removeprefix("ce-"): unquote(value.decode("latin-1"))
        for name, value in headers.items()
        if name.startswith(b"ce-")
    }
    content_type = headers.get(b"content-type", b"application/json").decode("latin-1")
    event["datacontenttype"] = content_type
    if not body:
        return msgspec.json.encode(event)
    if "json" in content_type.lower():
        event["data"] = msgspec.Raw(body)
    else:
        event["data_base64"] = base64.b64encode(body).decode()
    return msgspec.json.encode(event)


def validation_code(body: bytes) -> str | None:
    """What Event Grid wants to hear before it sends anything (its "subscription validation handshake")."""
    if VALIDATION.encode() not in body[:4096]:
        return None
    try:
        (event,) = msgspec.json.decode(body, type=list[_Validation])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    code = event.data.get("validationCode") if event.event_type == VALIDATION else None
    return code if isinstance(code, str) and len(code) <= 512 else None


def _cloud_event(said: Json) -> Envelope:
    data = said.get("data")
    raw = said.get("data_base64")
    if data is None and isinstance(raw, str):
        try:
            data = msgspec.json.decode(base64.b64decode(raw, validate=True))
        except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
            data = None
    return _read({**said, "data": data}, "cloudevents", source="source", kind="type", time="time", data=data)


def _read(said: Json, form: str, *, source: str, kind: str, time: str, data: Any) -> Envelope:
    fields = Fields(said)
    ident, from_, type_ = fields.text("id", 512), fields.text(source, 2_048), fields.text(kind, 512)
    if not (ident and from_ and type_):
        raise Unfit("no_identity", f"an event of the form {form} has id, {source} and {kind}; one of them is missing")
    when = said.get(time)
    return Envelope(
        form=form,
        id=ident,
        source=from_,
        type=type_,
        time=parse_instant(when) if isinstance(when, str) else None,
        whole=said,
        data=data,
        traceparent=fields.text("traceparent", 256),
    )
