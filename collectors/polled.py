"""What pollers share: a question to an API that answers in JSON, and a fact of one record of its answer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import DatasetPatch, JobPatch, RunPatch
from watchtower.model.series import SeriesPatch
from watchtower.outbound import raise_for_status
from watchtower.ports import HttpAnswer, Received

T = TypeVar("T")

CLOCK_AHEAD: Final = timedelta(hours=1)  # a source's clock this far ahead of ours is wrong


def accepted(answer: HttpAnswer, now: datetime, what: str, remedy: str) -> HttpAnswer:
    """answer itself if it is 2xx, else raises Transient or Permanent. what: the call; remedy: if credentials are
    refused."""
    try:
        return raise_for_status(answer, now, what)
    except Permanent as error:
        if error.reason is not Reason.AUTH:
            raise
        raise Permanent(Reason.AUTH, f"{error}; {remedy}") from error


def read_json(answer: HttpAnswer, kind: type[T], what: str) -> T:
    """The body as kind. Raises Transient: a proxy's page of HTML is not there for ever."""
    try:
        return msgspec.json.decode(answer.body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = answer.headers.get("content-type", "").split(";")[0][:60] or "no content type"
        looks_html = answer.body.lstrip()[:1] == b"<"
        hint = "; is base_url the address of the API, and not of a log-in page?" if looks_html else ""
        said = "HTML, not JSON" if looks_html else f"not as expected ({shown}): {str(error)[:200]}"
        raise Transient(Reason.BAD_ANSWER, f"{what}: the answer is {said}{hint}") from error


def unless_gone(ask: Callable[[], T], *words: str) -> T | None:
    """What ask brings; None where the source does not have it any more: it answers 404, or refuses with one of these
    words."""
    try:
        return ask()
    except Permanent as error:
        if error.reason is Reason.NOT_FOUND or any(word in str(error) for word in words):
            return None
        raise


def told_at(answer: HttpAnswer) -> datetime | None:
    """The moment of the answer by the source's own clock (its header Date, whole seconds), if it says so."""
    return http_date(answer.headers.get("date"))


def http_date(text: str | None) -> datetime | None:
    try:
        when = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)


def polled_fact(
    record: bytes,
    at: datetime,
    received: Received,
    *,
    source: str,
    kind: str,
    key: tuple[str, ...] | None = None,
    stands: bool = False,
    backfill: bool = False,
    run: RunPatch | None = None,
    jobs: tuple[JobPatch, ...] = (),
    datasets: tuple[DatasetPatch, ...] = (),
    series: tuple[SeriesPatch, ...] = (),
) -> Fact:
    """The natural key: source, the record's own time and all of it; so a record that is polled again as it was is the
    same fact. at: when what it says came about, by the source's clock; kind: of the poller, which reads it again. key:
    in place of the record, where the same state may be heard in other words, too; stands: it is so now, and is news
    however long ago it began."""
    ahead = at > received.received_at + CLOCK_AHEAD
    old = not stands and (received.received_at - at).total_seconds() > received.max_age_s
    return Fact(
        key=fact_key(at, source, "poll", *(key or (sha256(record).digest(),))),
        source=source,
        kind=kind,
        event_time=received.received_at if ahead else at,
        received_at=received.received_at,
        body=record,
        historical=received.replay or backfill or old,
        run=run,
        jobs=jobs,
        datasets=datasets,
        series=series,
        clock_suspect=ahead,
    )
