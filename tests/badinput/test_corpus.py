"""The corpus on every decoder, and one file of each kind on every entry of a server; `make fuzz` sends them all."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.badinput.corpus import KINDS, corpus
from tests.badinput.entries import Entry, bombardment, entries
from tests.badinput.files import PER_KIND, File
from tests.badinput.watch import quiet
from tests.collectors.openlineage import events
from tests.server.site import Site, running
from watchtower.clock import ManualClock
from watchtower.ports import Decoded
from watchtower.registry import COLLECTORS
from watchtower.store.database import Database

SAMPLE = [corpus()[PER_KIND * number + (number * 7) % PER_KIND] for number in range(len(KINDS))]


def test_the_corpus_is_sixteen_kinds_of_forty_files() -> None:
    assert (len(KINDS), len(corpus()), len({file.name for file in corpus()})) == (16, 640, 640)


@pytest.mark.parametrize("kind", sorted(COLLECTORS))
def test_no_decoder_raises_whatever_it_is_given(kind: str) -> None:
    collector = COLLECTORS.get(kind)()
    for file in corpus():
        decoded = collector.decode(file.body, replace(events.received(), content_type=file.content_type))
        assert isinstance(decoded, Decoded), file.name


@pytest.fixture(scope="module")
def served(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("badinput")
    file = folder / "watchtower.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    with running(database, folder, ManualClock(events.AT)) as site:
        yield site
    database.close()


@pytest.mark.parametrize("file", SAMPLE, ids=lambda file: file.name[:50])
def test_every_entry_answers_each_kind_as_promised(served: Site, file: File) -> None:
    told = bombardment(served)
    with quiet(served):
        for entry in entries():
            told.send(entry, file)


def test_entries_of_every_sort_are_found() -> None:
    found = {str(entry) for entry in entries()}
    assert {"POST /v1/traces", "POST /hooks/{name}", "GET /api/v1/runs?", "GET /api/v1/runs/{id}?"} <= found
    assert {"POST /ping/{uuid}", "POST /login", "DELETE /api/v1/people/{id}", "POST /api/v1/silences"} <= found
    assert Entry("GET", "/livez") not in entries()
