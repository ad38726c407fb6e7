"""Schema surprises: any part of a record may be another than expected; decoding never raises, and claims nothing."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, cast

import pytest

from tests.collectors.polled_records import RECEIVED, SOURCES

ODD: tuple[Any, ...] = (
    None, True, -1, 10**400, 1e308, "", " ", "\ud83d\ude00", "x" * 5_000, "NaN", "2026-13-45T99:99:99Z",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", [], [None, 1, "a", [], {}], {}, {"a": {"b": []}},
)  # fmt: skip


def odd_ones(document: Any) -> Iterator[Any]:
    """The document with one of its parts after the other replaced by each odd value, or left out."""
    for path in paths(document):
        for odd in ODD:
            changed = deepcopy(document)
            holder = changed
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = odd
            yield changed
        changed = deepcopy(document)
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
        yield changed


def paths(part: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(part, dict):
        items = cast("dict[str, Any]", part).items()
    elif isinstance(part, list):
        items = list(enumerate(cast("list[Any]", part)))[:1]  # one stands for all
    for step, inner in items:
        yield (*so_far, step)
        yield from paths(inner, (*so_far, step))


@pytest.mark.parametrize("name", SOURCES)
def test_a_record_with_an_odd_part_is_read_without_it_or_kept(name: str) -> None:
    document, decode = SOURCES[name]
    tried = 0
    for odd in odd_ones(document):
        found = decode(json.dumps(odd).encode())
        tried += 1
        assert found.facts or found.rejects or odd == {}, odd
        for fact in found.facts:
            assert fact.event_time <= RECEIVED.received_at or fact.clock_suspect, odd
            assert fact.run is None or (fact.run.aliases and fact.run.job.pipeline), odd
    assert tried > 50
