"""Numbers that a pipeline or a person tells, in a JSON of our own: `{"name": …, "value": …}`, or a list of them.

`POST /api/v1/series` and `watchtower emit` bring them here. What is wrong with one is told to its sender at once and
costs its neighbours nothing; which job a name means is found by the store, that knows them (docs/series.md).
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, ClassVar, Final, cast

import msgspec
from pydantic import BaseModel, ConfigDict

from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import JobRef
from watchtower.model.series import (
    LABEL_NAME,
    MAX_LABEL_NAME,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_NAME,
    MAX_UNIT,
    NAME,
    RESERVED_LABELS,
    Sample,
    SeriesKind,
    SeriesPatch,
    SeriesRef,
)
from watchtower.ports import Decoded, Received, Reject

SOURCE: Final = "series"  # of a token that may write for any source
AHEAD: Final = timedelta(hours=1)
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MAX_SAMPLES: Final = 10_000  # of one list: what takes the store about a second
MAX_JOB: Final = 512  # characters of a job's, task's or namespace's name, and of a run's id
# word → what it stands for: a counter as it stands, or what it grew by
KINDS: Final[Mapping[str, tuple[SeriesKind, bool]]] = {
    "gauge": (SeriesKind.GAUGE, False),
    "sum": (SeriesKind.SUM, False),
    "delta": (SeriesKind.SUM, True),
}
_FIELDS: Final = ("name", "value", "job", "namespace", "task", "run", "at", "labels", "unit", "kind")


class RejectReason(StrEnum):
    """Why a number was not taken. Closed: it is also a metric label."""

    NOT_JSON = "not_json"
    TOO_MANY = "too_many"
    NOT_A_SAMPLE = "not_a_sample"
    UNKNOWN_FIELD = "unknown_field"
    NAME = "name"
    VALUE = "value"
    JOB = "job"
    RUN = "run"
    TIME = "time"
    LABELS = "labels"
    UNIT = "unit"
    KIND = "kind"


class SeriesConfig(BaseModel):
    """`collectors: {series: …}`. There is nothing to set yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Unfit(Exception):
    def __init__(self, reason: RejectReason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Series:
    kind: ClassVar[str] = "series"
    Config: ClassVar[type[Any]] = SeriesConfig
    of_token: ClassVar[bool] = True

    def __init__(self, config: SeriesConfig | None = None) -> None:
        self._config = config or SeriesConfig()

    def decode(self, body: bytes, received: Received) -> Decoded:
        """One fact per sample that can be taken. Never raises for what body holds."""
        try:
            items = _items(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f'the body is not JSON: {error}; send {{"name": "rows", "value": 12}} or a list of such objects'
            return Decoded((), (Reject(RejectReason.NOT_JSON, message, body, permanent=True),))
        if len(items) > MAX_SAMPLES:
            message = f"{len(items):,} samples in one list; send at most {MAX_SAMPLES:,} at once"
            return Decoded((), (Reject(RejectReason.TOO_MANY, message, body, permanent=True),))
        facts: list[Fact] = []
        rejects: list[Reject] = []
        for index, text in enumerate(items):
            try:
                facts.append(_fact(text, received))
            except _Unfit as unfit:
                rejects.append(Reject(unfit.reason, str(unfit), text, permanent=True, index=index))
        return Decoded(tuple(facts), tuple(rejects))


def _items(body: bytes) -> list[bytes]:
    """The texts of the samples. The whole is JSON, or a msgspec.DecodeError is raised."""
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    if body[:1] == b"[":
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    return [bytes(msgspec.json.decode(body, type=msgspec.Raw))]


def _fact(text: bytes, received: Received) -> Fact:
    said = _read(text)
    at = _moment(said.get("at"), received)
    source = received.source or SOURCE
    historical = received.replay or (received.received_at - at).total_seconds() > received.max_age_s
    kind, is_delta = _kind(said.get("kind"))
    run = _text(said, "run", RejectReason.RUN)
    patch = SeriesPatch(
        ref=SeriesRef(_name(said.get("name")), _job(said, received), _labels(said.get("labels"))),
        source=source,
        samples=(Sample(at, _value(said), run=run, historical=historical),),
        kind=kind,
        unit=_text(said, "unit", RejectReason.UNIT, MAX_UNIT),
        is_delta=is_delta,
    )
    return Fact(
        key=fact_key(at, source, sha256(text).digest()),
        source=source,
        kind=Series.kind,
        event_time=at,
        received_at=received.received_at,
        body=text,
        historical=historical,
        series=(patch,),
    )


def _read(text: bytes) -> dict[str, Any]:
    """A number of its own beyond what a float holds is no error of the whole list."""
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        if "out of range" in str(error):
            raise _Unfit(RejectReason.VALUE, "a number is too large; a value is a finite 64-bit float") from error
        raise _Unfit(RejectReason.NOT_A_SAMPLE, f"not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise _Unfit(RejectReason.NOT_A_SAMPLE, "not UTF-8") from error
    if not isinstance(said, dict):
        raise _Unfit(RejectReason.NOT_A_SAMPLE, 'a sample is an object such as {"name": "rows", "value": 12}')
    given = cast("dict[str, Any]", said)
    for name in given:
        if name not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise _Unfit(RejectReason.UNKNOWN_FIELD, f"{_shown(name)} is no field of a sample; known: {known}")
    return given


def _name(said: Any) -> str:
    if isinstance(said, str) and NAME.fullmatch(said):
        return said
    raise _Unfit(
        RejectReason.NAME,
        f"{_shown(said)} is no name of a series: at most {MAX_NAME} letters, digits and _ . : / -, a letter first",
    )


def _value(said: Mapping[str, Any]) -> float:
    value = said.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit(RejectReason.VALUE, f"value {_shown(value)} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Unfit(RejectReason.VALUE, "the value is too large; it is a finite 64-bit float")
    return number


def _job(said: Mapping[str, Any], received: Received) -> JobRef | None:
    job, task, namespace = (_text(said, name, RejectReason.JOB) for name in ("job", "task", "namespace"))
    if job is None:
        if task or namespace:
            raise _Unfit(RejectReason.JOB, "task and namespace belong to a job; name it as well: job")
        return None
    return JobRef(received.source or "", namespace or "", job, task)


def _moment(said: Any, received: Received) -> datetime:
    at = _instant(said, received.received_at)
    if at > received.received_at + AHEAD:
        raise _Unfit(RejectReason.TIME, f"at {_shown(said)} is more than an hour ahead of our clock")
    if at < EARLIEST:
        raise _Unfit(RejectReason.TIME, f"at {_shown(said)} is before 2000; send RFC 3339, or seconds since 1970")
    return at


def _instant(said: Any, received_at: datetime) -> datetime:
    if said is None:
        return received_at
    try:
        if isinstance(said, str):
            at = datetime.fromisoformat(said)
            if at.tzinfo is None:
                raise _Unfit(RejectReason.TIME, f"at {_shown(said)} has no time zone; write e.g. 2026-03-02T08:00:00Z")
            return at.astimezone(UTC)
        if isinstance(said, int | float) and not isinstance(said, bool):
            return datetime.fromtimestamp(said, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    form = "write e.g. 2026-03-02T08:00:00Z, or seconds since 1970"
    raise _Unfit(RejectReason.TIME, f"at {_shown(said)} is no time; {form}")


def _labels(said: Any) -> dict[str, str]:
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise _Unfit(RejectReason.LABELS, f'labels {_shown(said)} is no object such as {{"model": "churn"}}')
    given = cast("dict[str, Any]", said)
    if len(given) > MAX_LABELS:
        raise _Unfit(RejectReason.LABELS, f"{len(given)} labels; at most {MAX_LABELS} make one series")
    return {name: _label(name, value) for name, value in given.items() if value not in ("", None)}


def _label(name: str, value: Any) -> str:
    if not LABEL_NAME.fullmatch(name):
        form = f"at most {MAX_LABEL_NAME} letters, digits and _, a letter first"
        raise _Unfit(RejectReason.LABELS, f"{_shown(name)} is no name of a label: {form}")
    if name in RESERVED_LABELS:
        raise _Unfit(RejectReason.LABELS, f"the label {name!r} is set by Watchtower itself; use another name")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(value, str | int | float) or not _is_storable(text) or len(text) > MAX_LABEL_VALUE:
        what = f"at most {MAX_LABEL_VALUE} characters"
        raise _Unfit(RejectReason.LABELS, f"label {name!r}: {_shown(value)} is no value of a label: a text of {what}")
    return text


def _kind(said: Any) -> tuple[SeriesKind, bool]:
    found = KINDS.get("gauge" if said is None else said) if isinstance(said, str | None) else None
    if found is None:
        raise _Unfit(RejectReason.KIND, f"kind {_shown(said)} is unknown; known: {', '.join(KINDS)}")
    return found


def _text(said: Mapping[str, Any], name: str, reason: RejectReason, limit: int = MAX_JOB) -> str | None:
    """A text that may be left out; an empty one says nothing."""
    value = said.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > limit or not _is_storable(value):
        raise _Unfit(reason, f"{name} {_shown(value)} is no text of at most {limit} characters")
    return value


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
