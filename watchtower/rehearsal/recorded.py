"""Stored facts, read again: what was kept of each becomes what it said when it came in.

The store does not say which collector made a fact. It need not: a fact's natural key is made of what is kept, so the
one that makes the same key of it is the one, and has read the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec.structs import replace

from watchtower.model.fact import Fact
from watchtower.ports import Collector, Decoded, PolledSource, Received

_PROTOBUF = "application/x-protobuf"  # the form in which OTLP is kept, whatever it came in
_SAMPLES_OF_MANY = "otlp_metrics"  # one fact, many samples: each has its own age
_MAX_AGE_S = 3600.0
_NO_LIMIT_S = float("inf")

Decode = Callable[[bytes, Received], Decoded]


class Rereader:
    """collectors: by kind; polled: the sources that are asked, whose records are read by their own pollers."""

    def __init__(self, collectors: Mapping[str, Collector], polled: Sequence[PolledSource]) -> None:
        self._collectors = collectors
        self._polled = polled
        self._found: dict[tuple[str, str], _Reading] = {}
        self.unread: Counter[tuple[str, str]] = Counter()  # facts that nobody reads, by source and kind

    def read(self, stored: Fact) -> Fact | None:
        """stored as it was when it came in, with what it says; None, and counted, if nothing configured here reads
        it."""
        name = (stored.source, stored.kind)
        last = self._found.get(name)
        for reading in chain([last] if last else [], self._candidates(stored)):
            found = _read_by(reading, stored)
            if found is not None:
                self._found[name] = reading
                return found
        self.unread[name] += 1
        return None

    def _candidates(self, stored: Fact) -> Iterator["_Reading"]:
        """The likely ones first. Without a source before with one: then its namespaces mean what they meant."""
        own = self._collectors.get(stored.kind)
        decodes = [own.decode] if own is not None else []
        decodes += [each.decode for each in self._polled if each.kind == stored.kind]
        decodes += [each.decode for each in self._collectors.values() if each is not own]
        for decode in decodes:
            yield decode, None
            yield decode, stored.source


_Reading = tuple[Decode, str | None]  # and the source that the entry point had fixed, if it had


def _read_by(reading: _Reading, stored: Fact) -> Fact | None:
    decode, source = reading
    try:
        decoded = decode(stored.body, _received(stored, source))
    except Exception:  # another collector's body: whatever it makes of that says nothing
        return None
    for fact in decoded.facts:
        if fact.key == stored.key and fact.source == stored.source:
            return replace(fact, historical=stored.historical)
    return None


def _received(stored: Fact, source: str | None) -> Received:
    """What was history stays so, and nothing becomes it: how old it was is known."""
    max_age = _MAX_AGE_S if stored.kind == _SAMPLES_OF_MANY else _NO_LIMIT_S
    return Received(stored.received_at, source, stored.historical, max_age, _PROTOBUF)
