"""The outbox: carries notices to their destinations so that none is lost and none is seen twice where it can be helped.

Each notice goes: claim (the intent is committed) → send → record. After an unknown outcome (a time-out, a process that
died) nothing is sent before the channel's settle time is over and a look-up said that the provider does not have it.
docs/delivery.md has the state machine; what is decided is decided in `alerting.pipeline`.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from math import ceil
from threading import Event

from alerting import incidents
from alerting.breaker import Breaker
from alerting.in_hand import InHand
from alerting.meta import delivery_failed, fingerprint_of
from alerting.pipeline import Pipeline
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.lives import POISON_AFTER, Lives
from watchtower.model.alert import Incident, Receipt
from watchtower.model.delivery import GIVE_UP_AFTER, Agenda, Failure, Raised, Rush, Terms, Way, Work
from watchtower.model.incident import IncidentEvent
from watchtower.ports import AlertingStore, Channel, Clock
from watchtower.secrets import REDACTOR
from watchtower.telemetry import traces

log = logging.getLogger(__name__)

LEASE_S = 30.0
SEND_TIMEOUT_S = 10.0  # of any channel; a look-up and a send fit into one lease
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 300.0
MOST_UNKNOWNS = 2  # attempts with an unknown outcome, where the provider offers neither key nor search


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt; for metrics. reason None: delivered. gave_up: it is a dead letter now."""

    destination: str
    channel: str
    reason: Reason | None
    seconds: float
    gave_up: bool = False
    duplicates: int = 0


class Outbox:
    """channels: by destination. One Outbox may be used by many threads, but at most one for each destination.

    observe: is told of every attempt, from the thread that made it.
    """

    def __init__(
        self,
        store: AlertingStore,
        channels: Mapping[str, Channel],
        pipeline: Pipeline,
        clock: Clock,
        *,
        holder: str = "outbox",
        external_url: str = "",
        observe: Callable[[Attempt], None] = lambda attempt: None,
        lives: Lives | None = None,
    ) -> None:
        self._store = store
        self._channels = dict(channels)
        self._pipeline = pipeline
        self._clock = clock
        self._holder = holder
        self._external_url = external_url
        self._observe = observe
        self._lives = lives or Lives(None)
        self._breakers: dict[str, Breaker] = {}  # by destination
        self._in_hand = InHand()
        self._at_work: dict[str, float] = {}  # by destination: since when (boot time) one notice is in hand

    @property
    def destinations(self) -> tuple[str, ...]:
        return tuple(self._channels)

    def reconfigure(self, pipeline: Pipeline, channels: Mapping[str, Channel]) -> int:
        """Plan open alerts anew under a new configuration, then take it over; the number of open alerts."""
        count = self._store.replan(pipeline.plan, sorted(channels), self._clock.now())
        self._pipeline, self._channels = pipeline, dict(channels)
        return count

    def step(self, now: datetime | None = None) -> int:
        """Do all that is due, in the calling thread, until nothing is left; how much was done. now: of the clock."""
        moment = now if now is not None else self._clock.now()
        total = 0
        while True:
            done = self.turn(moment)
            for destination in self.due(moment):
                done += self.drain(destination, moment)
            if not done:
                return total
            total += done

    def agenda(self) -> Agenda:
        """What is next, for `turn`, `due` and `next_at`: where somebody asks all three of them, it is read once."""
        return self._store.agenda(self.destinations)

    def next_at(self, agenda: Agenda | None = None, *, busy: Collection[str] = ()) -> datetime | None:
        """When something is due next; None: nothing is planned. A paused destination is due when its pause is over;
        busy ones, which somebody drains already, are left out."""
        agenda, now = agenda or self.agenda(), self._clock.now()
        idle = [name for name in self.destinations if name not in busy]
        pauses = {name: pause for name in idle if (pause := self._pause_s(name)) > 0}
        ends = [now + timedelta(microseconds=ceil(pause * 1e6)) for pause in pauses.values()]
        waiting = [agenda.notices_at[name] for name in idle if name in agenda.notices_at and name not in pauses]
        timers = [agenda.timers_at] if agenda.timers_at is not None else []
        return min([*ends, *waiting, *timers], default=None)

    def due(self, now: datetime, agenda: Agenda | None = None) -> list[str]:
        """Destinations with something to send now whose provider may be asked."""
        agenda = agenda or self.agenda()
        asked = [name for name, at in agenda.notices_at.items() if at <= now and self._pause_s(name) <= 0]
        return sorted({*asked, *self.in_hand})

    @property
    def in_hand(self) -> list[str]:
        """Destinations for which a notice is claimed already, and waits for nothing but its sender."""
        return [name for name in self._in_hand.destinations if name in self._channels]

    def rush(self) -> Rush:
        """For whoever makes something due now, and commits to sending it in the same transaction."""
        start_by = self._clock.boottime() + LEASE_S - SEND_TIMEOUT_S
        return Rush(self._clock.now(), start_by, self._holder, self._pipeline.flush, self._way_now)

    def hand(self, works: Sequence[Work], start_by: float) -> None:
        """Take over notices that were claimed by a rush, once that is committed. Returns at once."""
        self._in_hand.put(works, start_by)

    def _way_now(self, destination: str) -> Way | None:
        """One notice at a time: where one is in hand, the next one is claimed by whoever has sent it."""
        channel = self._channels.get(destination)
        is_busy = destination in self._at_work or destination in self._in_hand.destinations
        return None if channel is None or is_busy or self._pause_s(destination) > 0 else self._way(channel)

    def _way(self, channel: Channel) -> Way:
        decide = partial(self._pipeline.decide, rings=channel.rings)
        return Way(Terms(self._holder, LEASE_S, channel.settle_s), decide)

    def turn(self, now: datetime, agenda: Agenda | None = None) -> int:
        """Let timers that are due make notices: ends of silences, acknowledgements and flapping, groups. How much was
        done.

        Looks before it writes: it is called after every commit, and a commit of its own would call it again.
        """
        at = (agenda or self.agenda()).timers_at
        if at is None or at > now:
            return 0
        done = self._store.end_silences(now) + self._store.end_flapping(now)
        done += self._store.end_acknowledgements(partial(_run_out, now=now), now)
        while flushed := self._store.flush(now, self._holder, self._pipeline.flush):
            done += flushed
        return done

    def drain(self, destination: str, now: datetime | None = None, *, stop: Event | None = None) -> int:
        """Send what is due for one destination, one after the other, until nothing is left, its provider fails, or
        stop is set; how much was done. What is in hand is sent in any case."""
        total = 0
        while destination in self._channels and (destination in self.in_hand or not (stop and stop.is_set())):
            self._at_work[destination] = self._clock.boottime()
            try:
                handled, went_well = self._deliver_next(destination, now if now is not None else self._clock.now())
            finally:
                self._at_work.pop(destination, None)
            total += handled
            if not handled or not went_well:
                break
        return total

    def stuck(self, after_s: float) -> list[str]:
        """Destinations where one notice is in hand for longer than any attempt may take: their senders stand still."""
        since = self._clock.boottime() - after_s
        return sorted(name for name, began in self._at_work.copy().items() if began < since)

    def _deliver_next(self, destination: str, now: datetime) -> tuple[int, bool]:
        channel = self._channels[destination]
        start_by = self._clock.boottime() + LEASE_S - SEND_TIMEOUT_S
        handled, work, taken = 1, None, self._in_hand.take(destination)
        if taken is not None:
            work, start_by = taken
        else:
            way = self._way(channel)
            handled, work = self._store.claim(destination, now, way.terms, way.decide)
        if work is None:
            return handled, True
        work = replace(work, notice=replace(work.notice, external_url=self._external_url))
        piece = f"notice {work.notice.id}"
        if self._lives.died_of(piece) >= POISON_AFTER:
            self._record_failure(channel, work, _poison(f"{POISON_AFTER} processes died of it"), start_by)
            return handled, True
        with self._lives.attempt(piece):
            return handled, (self._look_up if work.check else self._send)(channel, work, start_by)

    # -- one attempt ----------------------------------------------------------------------------------------------

    def _send(self, channel: Channel, work: Work, start_by: float) -> bool:
        """Send under the claim's lease. A process that was suspended must not send after it: another may have."""
        began = self._clock.boottime()
        if began > start_by:
            log.warning("claim too old to send", extra={"destination": work.notice.destination})
            return False
        try:
            with traces.span("deliver", {"destination": work.notice.destination, "attempt": work.notice.attempt}):
                receipt = channel.deliver(work.notice)
        except DeliveryError as error:
            self._failed(channel, work, error, began)
            return False
        except Exception as error:  # the edge of one delivery: a fault of a plug-in must not stop the others
            log.exception("channel failed", extra={"destination": work.notice.destination})
            if work.notice.attempt >= POISON_AFTER:
                self._record_failure(channel, work, _poison(f"the channel failed: {_said(error)}"), began)
                return True
            self._failed(channel, work, _unexpected(error), began)
            return False
        self._delivered(channel, work, receipt, began)
        return True

    def _look_up(self, channel: Channel, work: Work, start_by: float) -> bool:
        """Find out what became of an attempt whose outcome is unknown. Nothing is sent under this claim."""
        began = self._clock.boottime()
        if began > start_by:
            return False
        if not channel.can_look_up and not channel.keyed and work.unknowns >= MOST_UNKNOWNS:
            message = f"{work.unknowns} attempts ended without an answer; a third could be seen a third time"
            self._record_failure(channel, work, Failure(Reason.UNKNOWN, message, None), began)
            return False
        try:
            receipt = channel.look_up(work.notice) if channel.can_look_up else None
        except DeliveryError as error:
            self._failed(channel, work, error, began)
            return False
        except Exception as error:  # as above
            log.exception("look-up failed", extra={"destination": work.notice.destination})
            self._failed(channel, work, _unexpected(error), began)
            return False
        if receipt is not None:
            self._delivered(channel, work, receipt, began)
            return True
        return self._store.record_absent(work, self._clock.now(), keyed=channel.keyed)

    def _delivered(self, channel: Channel, work: Work, receipt: Receipt, began: float) -> None:
        receipt = _storable(receipt)
        destination = work.notice.destination
        self._breaker(destination).succeeded()
        now = self._clock.now()
        if not self._store.record_delivered(work, receipt, now, fingerprint_of(destination)):
            log.warning("delivered under a claim that was lost", extra={"destination": destination})
        seconds = self._clock.boottime() - began
        self._observe(Attempt(destination, channel.name, None, seconds, duplicates=receipt.duplicates))

    def _failed(self, channel: Channel, work: Work, error: DeliveryError, began: float) -> None:
        failure = next_try(work, error, self._clock.now(), settle_s=channel.settle_s)
        self._breaker(work.notice.destination).failed(error, self._clock.boottime())
        self._record_failure(channel, work, failure, began)

    def _record_failure(self, channel: Channel, work: Work, failure: Failure, began: float) -> None:
        destination, now = work.notice.destination, self._clock.now()
        # A provider may send back what it was sent, and what it says is shown to people and kept.
        failure = replace(failure, message=REDACTOR.redact(failure.message))
        gave_up = failure.again_at is None
        raises = self._raised(work, failure, now) if gave_up else None
        self._store.record_failed(work, failure, now, raises)
        seconds = self._clock.boottime() - began
        self._observe(Attempt(destination, channel.name, failure.reason, seconds, gave_up=gave_up))

    def _raised(self, work: Work, failure: Failure, now: datetime) -> Raised:
        """A dead letter is told to everybody whom it concerns, but never through the destination that failed."""
        alert = delivery_failed(work.notice, failure, now)
        planned = self._pipeline.plan(alert.labels)
        return Raised(alert, tuple(item for item in planned if item.destination != work.notice.destination))

    def _breaker(self, destination: str) -> Breaker:
        return self._breakers.setdefault(destination, Breaker())

    def _pause_s(self, destination: str) -> float:
        return self._breaker(destination).until - self._clock.boottime()


def next_try(work: Work, error: DeliveryError, now: datetime, *, settle_s: float) -> Failure:
    """When to try again after error, or never. Pure.

    A permanent error is given up at once, a passing one after 72 h. Retry-After is obeyed; the backoff doubles from 1 s
    to 5 min, with full jitter that is the same at every replay. What may have arrived is looked up first, which makes
    no sense before the settle time is over.
    """
    notice = work.notice
    unknown = error.outcome_unknown or (work.check and not isinstance(error, Permanent))
    if isinstance(error, Permanent) and not error.outcome_unknown:
        return Failure(error.reason, str(error), None)
    if now - notice.first_attempt_at >= GIVE_UP_AFTER:
        return Failure(error.reason, f"given up after 72 h: {error}", None)
    wait = backoff_s(notice.key, notice.attempt + work.unknowns)
    if isinstance(error, Transient) and error.retry_after_s is not None:
        wait = max(wait, error.retry_after_s)
    if error.outcome_unknown:
        wait = max(wait, settle_s)
    return Failure(error.reason, str(error), now + timedelta(seconds=wait), unknown=unknown)


def backoff_s(key: str, attempt: int) -> float:
    """Full jitter: between 0 and min(5 min, 2^(attempt-1) s), by a hash of key and attempt."""
    most = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempt - 1, 16))
    digest = blake2b(f"{key}/{attempt}".encode(), digest_size=8).digest()
    return most * int.from_bytes(digest, "big") / 2**64


def _storable(receipt: Receipt) -> Receipt:
    """A receipt that the store can keep, whatever a plug-in put into it: a delivery that cannot be recorded would be
    made again."""
    ref = json.loads(json.dumps(dict(receipt.ref), default=str))
    return replace(receipt, provider_id=str(receipt.provider_id), ref=ref)


def _unexpected(error: Exception) -> Transient:
    """Nobody knows what a plug-in's own fault has left behind at the provider."""
    return Transient(Reason.UNKNOWN, _said(error), outcome_unknown=True)


def _poison(why: str) -> Failure:
    """A notice that nothing can be made of: a dead letter, so that it holds up no other."""
    return Failure(Reason.UNKNOWN, why, None)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _run_out(incident: Incident, *, now: datetime) -> tuple[Incident, IncidentEvent | None]:
    return incidents.run_out(incident, now)
