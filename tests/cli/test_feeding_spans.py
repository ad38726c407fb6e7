"""`watchtower ingest` with spans: a file of OTLP's JSON, and a spool that holds protobuf."""

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.terminal import Watchtower
from tests.otlp import as_json, body, request, span
from watchtower.spool import Spool, Spooled
from watchtower.store import span_batches
from watchtower.store.database import Database

NOW = datetime.now(UTC)


def waiting(state: Path) -> int:
    database = Database(f"sqlite:///{state / 'watchtower.db'}")
    with database.read() as connection:
        found = span_batches.backlog(connection).spans
    database.close()
    return found


def test_spans_of_a_file_and_of_a_retired_spool_reach_the_store(tmp_path: Path, watchtower: Watchtower) -> None:
    file, state = tmp_path / "spans.jsonl", tmp_path / "state"
    file.write_text("\n".join(json.dumps(as_json(request([span(number, begin=NOW)]))) for number in (1, 2)))
    told = watchtower("ingest", "otlp_traces", file, "--state", state)
    assert told.code == 0, told.err

    retired = Spool(tmp_path / "retired")
    sent = body(span(3, begin=NOW), span(4, begin=NOW))
    retired.append(Spooled("otlp_traces", NOW, sent, "application/x-protobuf")).result()
    retired.close()
    told = watchtower("ingest", "--spool", tmp_path / "retired", "--state", state)
    assert told.code == 0, told.err
    assert waiting(state) == 4
