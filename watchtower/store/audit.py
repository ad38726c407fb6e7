"""The audit chain: every change by a person or a token is one row, chained to the row before by a keyed digest.

digest of row n = HMAC-SHA256(key, digest of row n-1 ‖ row n in canonical JSON). The key is not in the store. The head
(last number and digest) is kept under the key as well, so that cutting the tail off is found too; `head` is what an
operator exports, against which even a whole earlier copy of the store is recognised.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text

from watchtower.store import dialect
from watchtower.store.schema.access import audit
from watchtower.store.schema.base import dump_json, to_micros
from watchtower.store.schema.observed import meta

_HEAD = "audit_head"
_GENESIS = b"\0" * 32
_PG_LOCK = 0x57A7C4  # any constant: one appender at a time among replicas
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done. actor: `person:<id>`, `token:<id>`, `system`; action: `silence.create`; target: what it was done
    to; before, after: JSON values, without secrets."""

    at: datetime
    actor: str
    action: str
    target: str
    team: str | None = None
    request_id: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row. seq 0: the chain is empty."""

    seq: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest.hex()}"

    @staticmethod
    def parse(text: str) -> "Head":
        seq, _, digest = text.strip().partition(":")
        return Head(int(seq), bytes.fromhex(digest))


@dataclass(frozen=True, slots=True)
class Verdict:
    """rows: how many were checked; fault: the first thing that is wrong, None if the chain is whole."""

    rows: int
    fault: str | None
    head: Head


def append(connection: Connection, key: bytes, entry: Entry) -> int:
    """Add entry in the transaction of the change itself; its number."""
    if not dialect.is_sqlite(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _PG_LOCK})
    last = head(connection)
    seq = last.seq + 1
    row = {
        "seq": seq,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "team": entry.team,
        "request_id": entry.request_id,
        "before": entry.before,
        "after": entry.after,
    }
    digest = _chained(key, last.digest, row)
    connection.execute(audit.insert(), {**row, "digest": digest})
    dialect.upsert(connection, meta, [{"key": _HEAD, "value": _seal(key, Head(seq, digest))}])
    return seq


def head(connection: Connection) -> Head:
    row = connection.execute(select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)).first()
    return Head(row.seq, row.digest) if row else Head(0, _GENESIS)


def verify(connection: Connection, key: bytes, *, exported: Head | None = None) -> Verdict:
    """Recompute the whole chain. exported: a head noted earlier elsewhere; the chain must still contain it."""
    last, rows = Head(0, _GENESIS), 0
    if exported is not None and exported.seq == 0:
        exported = None
    while batch := _rows_after(connection, last.seq):
        for row in batch:
            if row["seq"] != last.seq + 1:
                return Verdict(rows, f"row {last.seq + 1} is missing", last)
            if not hmac.compare_digest(_chained(key, last.digest, row), row["digest"]):
                return Verdict(rows, f"row {row['seq']} was changed, or its place was", last)
            last, rows = Head(row["seq"], row["digest"]), rows + 1
            if exported is not None and exported.seq == row["seq"] and exported.digest != row["digest"]:
                return Verdict(rows, f"row {row['seq']} is not the one that was exported", last)
    if exported is not None and exported.seq > last.seq:
        return Verdict(rows, f"rows {last.seq + 1} to {exported.seq} were cut off", last)
    sealed = connection.execute(select(meta.c.value).where(meta.c.key == _HEAD)).scalar_one_or_none()
    if (rows or sealed) and (sealed is None or not hmac.compare_digest(sealed, _seal(key, last))):
        return Verdict(rows, f"the chain ends at row {last.seq}, but that is not where it was written to", last)
    return Verdict(rows, None, last)


def _rows_after(connection: Connection, seq: int) -> Sequence[RowMapping]:
    query = select(audit).where(audit.c.seq > seq).order_by(audit.c.seq).limit(_BATCH)
    return connection.execute(query).mappings().all()


def _chained(key: bytes, previous: bytes, row: Mapping[Any, Any]) -> bytes:
    values = [row["seq"], to_micros(row["at"])]
    values += [row[name] for name in ("actor", "action", "target", "team", "request_id", "before", "after")]
    return hmac.digest(key, previous + dump_json(values).encode(), hashlib.sha256)


def _seal(key: bytes, last: Head) -> str:
    return f"{last.seq}:{hmac.digest(key, b'head' + str(last).encode(), hashlib.sha256).hex()}"
