"""What stands in quarantine is taken again, as it was received: decoded anew, and stored if it is understood now."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from watchtower.app.polling import Polling
from watchtower.lives import POISON_AFTER, Lives
from watchtower.model.fact import Fact
from watchtower.ports import Collector, Decoded, Received
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.span_batches import BatchRow, pack

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retaking:
    """source_of: the source that jobs of a namespace belong to."""

    _collectors: Mapping[str, Collector]
    _polling: Polling
    _source_of: Callable[[str], str]
    _append: "Callable[[Sequence[Fact], Sequence[Quarantined], Sequence[BatchRow]], Future[Appended]]"
    _lives: Lives

    def take(self, ident: int, kept: Quarantined) -> bool:
        """Decode and store what was quarantined, as received then; whether all of it was understood. A repeat changes
        nothing. What processes died of is left alone."""
        piece = f"quarantine {ident}"
        if self._lives.died_of(piece) >= POISON_AFTER:
            return False
        with self._lives.attempt(piece):
            return self._take(kept)

    def _take(self, kept: Quarantined) -> bool:
        try:
            decoded = self._decoded(kept)
        except Exception:  # the edge of one body
            log.exception("a collector failed on a body in quarantine", extra={"collector": kept.collector})
            return False
        if decoded is None:
            return False
        if decoded.rejects or not (decoded.facts or decoded.batches):
            return False
        batches = [pack(replace(batch, source=kept.source)) for batch in decoded.batches]
        return not self._append(decoded.facts, (), batches).result().unfit

    def _decoded(self, kept: Quarantined) -> Decoded | None:
        """None if it came by a poll, of a source that is no longer configured."""
        if kept.collector in self._collectors:
            received = Received(kept.received_at, source=kept.source)
            return self._collectors[kept.collector].decode(kept.body, received)
        polled = self._polling.named(kept.source, kept.collector)
        if polled is None:
            return None
        return polled.decode(kept.body, Received(kept.received_at, self._source_of(polled.namespace)))
