"""Facts: what is kept of each event, immutable and under a natural key, so that a repeat of it is no second one."""

from datetime import datetime
from hashlib import blake2b

import msgspec

from watchtower.model.change import Change
from watchtower.model.run import DatasetPatch, JobPatch, RunPatch
from watchtower.model.series import SeriesPatch


class FactKey(msgspec.Struct, frozen=True):
    """Natural key of a fact. minute: event time in whole minutes since the epoch (a retry repeats it, so a key led
    by it stays idempotent and new keys land on neighbouring pages); digest: 16 bytes over what makes it the same."""

    minute: int
    digest: bytes


def fact_key(event_time: datetime, *parts: str | bytes) -> FactKey:
    """Digest parts (each length-prefixed, so that ("a", "bc") and ("ab", "c") differ) at event_time (aware)."""
    digest = blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return FactKey(int(event_time.timestamp()) // 60, digest.digest())


class Fact(msgspec.Struct, frozen=True):
    """One immutable record, and what it says. kind: `run`, `job`, `dataset`, `pings`, `series`, `otlp_metrics`,
    `change`, `quality`, or that of the poller; body: the bytes kept for replay.

    received_at is the *original* time of receipt, also after a stay in the spool or the quarantine. historical: it
    must never page (replay flag, backfill, or older than max_age on receipt without a known outage).
    clock_suspect: the sender's clock was more than an hour ahead, so event_time is that of receipt.
    """

    key: FactKey
    source: str
    kind: str
    event_time: datetime
    received_at: datetime
    body: bytes
    historical: bool = False
    run: RunPatch | None = None
    jobs: tuple[JobPatch, ...] = ()
    datasets: tuple[DatasetPatch, ...] = ()
    clock_suspect: bool = False
    series: tuple[SeriesPatch, ...] = ()
    changes: tuple[Change, ...] = ()
