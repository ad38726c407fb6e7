"""Bodies that are one JSON object or a list of them → facts, each object by itself: how the asking collectors decode.

What cannot be read is a Reject and costs its neighbours nothing. Secrets are taken out before anything is read, so that
what is kept and what is replayed say the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, cast

from collectors.identity import run_alias
from collectors.openlineage.instants import utc
from collectors.openlineage.reading import NotJson, TooDeep, check_depth, events_of, parse
from collectors.openlineage.texts import TooManyLabels, cut
from collectors.polled import CLOCK_AHEAD, polled_fact
from collectors.scrub import scrub_body
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, DatasetPatch, JobPatch, RunPatch
from watchtower.ports import Decoded, Received, Reject

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document comes from, and what its facts have in common. kind: of the poller; source, namespace: of the
    jobs; url: of the pages that show them, without a slash at its end; body: what is kept of the document."""

    kind: str
    source: str
    namespace: str
    url: str | None
    body: bytes
    received: Received
    authority: Authority = Authority.API

    def fact(
        self,
        at: datetime,
        key: tuple[str, ...],
        *,
        stands: bool = False,
        run: RunPatch | None = None,
        jobs: tuple[JobPatch, ...] = (),
        datasets: tuple[DatasetPatch, ...] = (),
    ) -> Fact:
        """at: as the source says; key: what makes it the same fact, also in other words; stands: it is so now."""
        return polled_fact(
            self.body,
            at,
            self.received,
            source=self.source,
            kind=self.kind,
            key=key,
            stands=stands,
            run=run,
            jobs=jobs,
            datasets=datasets,
        )

    def run_aliases(self, pipeline: str, run_id: str, generation: int = 0) -> tuple[str, str]:
        """The names of a run whose id is unique by itself: as an event of another way calls it (docs/events.md), and
        without its pipeline, which what hangs below it need not know."""
        of = self.source, self.namespace
        return run_alias(*of, pipeline, run_id, generation), run_alias(*of, "", run_id, generation)

    def definition(
        self, what: str, *, jobs: tuple[JobPatch, ...] = (), datasets: tuple[DatasetPatch, ...] = ()
    ) -> Fact:
        """Of what is so now, whenever it began: the source does not say when a definition changed."""
        key = (what, sha256(self.body).hexdigest())
        return self.fact(self.received.received_at, key, stands=True, jobs=jobs, datasets=datasets)

    def instant(self, value: datetime | float | None) -> datetime | None:
        """A datetime, or seconds since 1970, in UTC; never ahead of receipt by more than an hour."""
        if value is None or isinstance(value, datetime):
            return not_after(value, self.received)
        try:
            return not_after(datetime.fromtimestamp(value, UTC), self.received) if value else None
        except (OverflowError, OSError, ValueError):
            return None


def not_after(instant: datetime | None, received: Received) -> datetime | None:
    """instant in UTC; the moment of receipt where the source's clock is ahead by more than an hour."""
    known = utc(instant)
    if known is None:
        return None
    return received.received_at if known > received.received_at + CLOCK_AHEAD else known


# document, the bytes that are kept of it, paths of what was skipped → its facts; None: it is nothing of this kind
Read = Callable[[Document, bytes, list[str]], Sequence[Fact] | None]


class RejectReason(StrEnum):
    """Why something could not be folded. Closed: it is also a metric label."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    TOO_MANY_LABELS = "too_many_labels"
    UNKNOWN = "unknown"


def decode_documents(body: bytes, read: Read, expected: str) -> Decoded:
    """Never raises for what body holds. expected: what a document of this kind is, for messages."""
    facts: list[Fact] = []
    rejects: list[Reject] = []
    skipped: list[str] = []
    try:
        for index, text in enumerate(events_of(body)):
            found = _document(text, read, expected, skipped)
            if isinstance(found, Reject):
                rejects.append(replace(found, index=index))
            else:
                facts.extend(found)
    except NotJson as error:
        message = f"the body is not JSON: {cut(str(error), 200)}; send {expected}, or a list of such"
        return Decoded((), (Reject(RejectReason.NOT_JSON, message, body, permanent=True),))
    return Decoded(tuple(facts), tuple(rejects), tuple(dict.fromkeys(skipped)))


def _document(text: bytes, read: Read, expected: str, skipped: list[str]) -> Sequence[Fact] | Reject:
    """Raises NotJson."""
    try:
        check_depth(text)
        value = parse(text)
        clean = scrub_body(text, value)
        if clean is not text:
            value = parse(clean)
        found = read(cast("Document", value), clean, skipped) if isinstance(value, dict) else None
    except TooDeep as error:
        return Reject(RejectReason.TOO_DEEP, str(error), text)
    except TooManyLabels as error:
        return Reject(RejectReason.TOO_MANY_LABELS, str(error), text)
    if found is None or any(_is_nameless(fact) for fact in found):
        return Reject(RejectReason.UNKNOWN, f"not {expected}", clean)
    return found


def _is_nameless(fact: Fact) -> bool:
    """What is of no job is of no use, and would meet whatever else has no name."""
    return any(not job.pipeline for job in ((fact.run.job,) if fact.run else (patch.ref for patch in fact.jobs)))
