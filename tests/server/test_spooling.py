"""While the store is slow, locked or away, events go to the spool, are answered in good time, and arrive later."""

import json
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

from tests.server.site import Site, event, running
from tests.server.test_ingest import count, kept
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.ports import Decoded, Received
from watchtower.server.replaying import BATCH, BATCH_BYTES, batches_of
from watchtower.server.services import Services
from watchtower.spool import Spool, Spooled, frame_of, segment_paths
from watchtower.store.database import Database
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.schema.observed import facts as fact_rows
from watchtower.store.schema.observed import runs
from watchtower.store.span_batches import BatchRow


@contextmanager
def locked(database: Database) -> Generator[None]:
    """Another process holds the write lock."""
    other = sqlite3.connect(database.url.database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def until(done: Any, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.02)


def unstorable(_: object) -> Appended:
    raise RuntimeError("a bug in a fold")


def received_times(site: Site) -> list[datetime]:
    with site.services.database.read() as connection:
        return list(connection.execute(select(fact_rows.c.received_at).order_by(fact_rows.c.received_at)).scalars())


def test_a_locked_store_costs_no_event_and_no_time(hasty: Site, clock: ManualClock) -> None:
    spool = hasty.services.spool
    with locked(hasty.services.database):
        began = time.monotonic()
        answers = [hasty.post_event(event(clock, f"run-{number}")) for number in range(10)]
        assert time.monotonic() - began < 2.5
        assert {(answer.status, answer.json()["stored"]) for answer in answers} == {(202, "spool")}
        assert spool.size_bytes > 0
        assert not hasty.app.receiver.gate.is_open
        accepted_at = clock.now()
        clock.advance(600)
    until(lambda: count(hasty, runs) == 10 and spool.size_bytes == 0)
    assert received_times(hasty) == [accepted_at] * 10
    until(lambda: hasty.app.receiver.gate.is_open)
    assert hasty.post_event(event(clock, "after")).json()["stored"] == "store"


def test_what_waits_in_the_spool_is_decoded_once(hasty: Site, clock: ManualClock) -> None:
    there = hasty.services.collectors["openlineage"]
    bodies: list[bytes] = []

    class Counting:
        kind: ClassVar[str] = there.kind
        Config: ClassVar[type[Any]] = there.Config

        def decode(self, body: bytes, received: Received) -> Decoded:
            bodies.append(body)
            return there.decode(body, received)

    hasty.services.collectors = {**hasty.services.collectors, "openlineage": Counting()}
    with locked(hasty.services.database):
        for number in range(3):
            assert hasty.post_event(event(clock, f"r{number}")).status == 202
    until(lambda: count(hasty, runs) == 3)
    assert len(bodies) == 3


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([10], [1]),
        ([10] * (BATCH + 1), [BATCH, 1]),
        ([BATCH_BYTES + 1, BATCH_BYTES + 1], [1, 1]),
        ([BATCH_BYTES // 2, BATCH_BYTES // 2, 1], [2, 1]),
    ],
    ids=["nothing", "one", "too many", "each too large", "together too large"],
)
def test_a_spool_is_replayed_in_batches_of_bounded_size(
    clock: ManualClock, sizes: list[int], batches: list[int]
) -> None:
    records = [Spooled("openlineage", clock.now(), b"x" * size) for size in sizes]
    found = list(batches_of(records))
    assert [len(batch) for _, batch in found] == batches
    assert [records[first + place] for first, batch in found for place in range(len(batch))] == records


def test_only_the_first_request_waits_for_a_slow_store(hasty: Site, clock: ManualClock) -> None:
    with locked(hasty.services.database):
        hasty.post_event(event(clock, "first"))
        began = time.monotonic()
        for number in range(20):
            assert hasty.post_event(event(clock, f"run-{number}")).status == 202
        assert (time.monotonic() - began) / 20 < 0.1
    until(lambda: count(hasty, runs) == 21)


def test_a_full_spool_says_come_again_and_nothing_else_does(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    with running(sqlite, tmp_path, clock, spool_bytes=2_000) as site:
        with locked(sqlite):
            statuses = [site.post_event(event(clock, f"run-{number}")).status for number in range(6)]
            refused = site.post_event(event(clock, "last"))
        assert set(statuses) <= {202, 503}
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        accepted = statuses.count(202)
        until(lambda: count(site, runs) >= accepted)


def test_what_the_spool_holds_is_stored_by_the_next_process(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    left = Spool(tmp_path / "spool")
    body = b"[" + b",".join(json.dumps(event(clock, f"run-{n}")).encode() for n in range(5)) + b"]"
    left.append(Spooled("openlineage", clock.now(), body)).result(5)
    left.close()
    clock.advance(7_200)
    with running(sqlite, tmp_path, clock) as site:
        until(lambda: count(site, runs) == 5)
        until(lambda: segment_paths(tmp_path / "spool") == [])
        with sqlite.read() as connection:
            assert not any(connection.execute(select(runs.c.historical)).scalars()), "it was fresh when it was accepted"


def test_a_poisonous_record_is_quarantined_and_the_rest_goes_on(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    left = Spool(tmp_path / "spool")
    for run in ("good", "poison", "better"):
        left.append(Spooled("openlineage", clock.now(), json.dumps(event(clock, run)).encode())).result(5)
    left.close()

    def change(services: Services) -> None:
        append = services.append

        def failing(
            facts: Sequence[Fact], quarantined: Sequence[Quarantined] = (), batches: Sequence[BatchRow] = ()
        ) -> "Future[Appended]":
            if any(fact.run and fact.run.ol_run_id == "poison" for fact in facts):
                return services.database.submit_unit(unstorable)
            return append(facts, quarantined, batches)

        services.append = failing

    with running(sqlite, tmp_path, clock, change=change) as site:
        until(lambda: count(site, runs) == 2 and len(kept(site)) == 1)
        until(lambda: site.services.spool.size_bytes == 0)


def test_a_damaged_segment_is_stored_as_far_as_it_can_be_read_and_set_aside(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    left = Spool(tmp_path / "spool")
    records = [Spooled("openlineage", clock.now(), json.dumps(event(clock, run)).encode()) for run in "abc"]
    for record in records:
        left.append(record).result(5)
    left.close()
    (path,) = segment_paths(tmp_path / "spool")
    spoilt = bytearray(path.read_bytes())
    spoilt[len(b"WTSPOOL1") + len(frame_of(records[0])) + 40] ^= 0xFF
    path.write_bytes(spoilt)
    with running(sqlite, tmp_path, clock) as site:
        until(lambda: count(site, runs) == 1)
        until(lambda: list((tmp_path / "spool").glob("*.damaged")))


def test_stopping_while_the_store_is_locked_keeps_the_spool(
    sqlite: Database, tmp_path: Path, clock: ManualClock
) -> None:
    with running(sqlite, tmp_path, clock) as site, locked(sqlite):
        assert site.post_event(event(clock, "waits")).status == 202
        began = time.monotonic()
        site.server.stop()
        assert time.monotonic() - began < 10
    with running(sqlite, tmp_path, clock) as site:
        until(lambda: count(site, runs) == 1)
