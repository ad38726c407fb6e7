"""The notification path as pure decisions, under one configuration: route → group → mute → deduplicate → compose.

Source: the order of stages of `notify/notify.go` in Alertmanager (inhibit, active, mute, silence, dedup, send). A
reload builds a new Pipeline and swaps it in. Differences from Alertmanager are listed in docs/delivery.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

from alerting import escalation, grouping, storms
from alerting.dedup import needs_notification
from alerting.inhibition import Inhibition, inhibited_by
from alerting.intervals import TimeInterval, muted_by, muted_until
from alerting.maintenance import Window, ends_first, keeping_quiet
from alerting.meta import person_capped
from alerting.routing import Router, local_router
from alerting.silences import silenced_by
from watchtower.model import round_trip
from watchtower.model.alert import Alert, NoticeReason, Planned, TransitionKind
from watchtower.model.delivery import (
    Content,
    Conversation,
    Decision,
    Flush,
    Raised,
    Situation,
    Superseded,
    Suppression,
    repeat_after,
)
from watchtower.model.flapping import FlapPolicy, Spell
from watchtower.model.incident import is_open
from watchtower.model.labels import Labels

NEVER = FlapPolicy(runs=None, series=None)
CAPPED_FOR = timedelta(minutes=15)  # what the cap held back is looked at again; between two calls above the cap


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All decisions of alerting under one configuration. It is the Planner of the rules' transaction too."""

    router: Router = field(default_factory=local_router)
    inhibitions: Sequence[Inhibition] = ()
    intervals: Mapping[str, Sequence[TimeInterval]] = field(default_factory=dict[str, Sequence[TimeInterval]])
    maintenance: Sequence[Window] = ()
    flapping: FlapPolicy = NEVER

    def plan(self, labels: Labels) -> tuple[Planned, ...]:
        """A round trip goes its own way, after the routes were asked all the same: they are part of what it tries."""
        routed, limits = self.router.plan(labels), self.flapping.of(labels)
        own = round_trip.planned(labels)
        if own is not None:
            return own
        return tuple(replace(item, flap=limits) for item in routed) if limits is not None else routed

    def flush(self, held: Sequence[Conversation], now: datetime) -> Flush:
        return grouping.flush(held, now)

    def decide(self, situation: Situation, now: datetime, *, rings: bool) -> Decision:
        """What a claimed notice says, or why nothing is to be sent. rings: of its channel."""
        if situation.frozen is not None:
            return _decide_frozen(situation.frozen, situation.conversation, rings=rings)
        talk = situation.conversation
        if talk.planned.destination == round_trip.DESTINATION:  # nothing may keep it quiet
            return Decision(content=Content(NoticeReason.FIRST, talk.alerts))
        rings = rings or talk.planned.person is not None  # whoever is on call is done when somebody has it
        mute = muted_by(talk.planned.mute_time_intervals, talk.planned.active_time_intervals, self.intervals, now)
        quiet = self._quiet(situation, now, mute, rings=rings)
        held = escalation.held(talk, now)
        shown = [alert for alert in talk.alerts if is_open(alert) and alert.id not in quiet.keys() | held]
        news = [alert for alert in grouping.ended(talk, talk.told) if not rings or _was_told(talk, alert)]
        still = _still_quiet(talk, quiet)
        reason = self._reason(situation, shown, news, now, mute, rings=rings)
        wake_at = self._wakes_at(talk, mute, now, held=bool(held), rings=rings)
        base = Decision(still_quiet=still, wake_at=wake_at, start_over=_start_over(talk, quiet))
        if reason is None:
            return replace(base, endings=tuple(grouping.settled(talk, talk.told, quiet, frozenset())))
        if mute is None and self._is_capped(situation, reason, now):
            return self._capped(situation, quiet, shown, now)
        news_ids = frozenset(alert.id for alert in news)
        ids = news_ids if mute is not None else news_ids | {alert.id for alert in shown}
        later = wake_at if mute is not None else storms.waits_until(talk.planned, situation.sent, now)
        if later is not None:
            return replace(base, endings=tuple(grouping.settled(talk, talk.told, quiet, ids)), postpone_until=later)
        told = (*shown, *news) if talk.planned.send_resolved else tuple(shown)
        return replace(
            base,
            content=Content(reason, told),
            endings=tuple(grouping.settled(talk, talk.told, quiet, frozenset(alert.id for alert in told))),
            renewed=_renewed(talk, shown),
            gathers=storms.is_last(talk.planned, situation.sent),
        )

    def _is_capped(self, situation: Situation, reason: NoticeReason, now: datetime) -> bool:
        """The person was woken as often as the file allows. What is told first passes by the last way to wake them all
        the same, as long as that does not become a storm: whoever is on call must know that something is wrong."""
        planned = situation.conversation.planned
        if planned.daily_cap is None:
            return False
        sent = situation.sent()
        if sent.count < planned.daily_cap:
            return False
        rested = sent.last_at is None or now - sent.last_at >= CAPPED_FOR
        return not (planned.last_resort and reason is NoticeReason.FIRST and rested)

    def _capped(
        self, situation: Situation, quiet: dict[str, Suppression], shown: Sequence[Alert], now: datetime
    ) -> Decision:
        """Nothing is sent; everybody else whom the routes name for it is told so, and it is looked at again."""
        talk, last_at = situation.conversation, situation.sent().last_at or now
        person, cap = talk.planned.person or "", talk.planned.daily_cap or 0
        why = Suppression(Superseded.CAPPED, person)
        quiet = {**quiet, **{alert.id: why for alert in shown if not _was_told(talk, alert)}}
        alert = person_capped(person, cap, now)
        others = [item for item in self.plan(alert.labels) if item.person != person or item.daily_cap is None]
        return Decision(
            endings=tuple(grouping.settled(talk, talk.told, quiet, frozenset())),
            still_quiet=_still_quiet(talk, quiet),
            wake_at=last_at + CAPPED_FOR if last_at + CAPPED_FOR > now else now + CAPPED_FOR,
            raises=Raised(alert, tuple(others)),
        )

    def _quiet(self, situation: Situation, now: datetime, mute: str | None, *, rings: bool) -> dict[str, Suppression]:
        """Alerts that fire, were not told yet, and must not be told now. What was told stays in view until it ends."""
        talk = situation.conversation
        sources, spells = cache(situation.sources), _spells(situation)
        quiet: dict[str, Suppression] = {}
        for alert in talk.alerts:
            if not is_open(alert) or _was_told(talk, alert):
                continue
            if talk.retired:
                quiet[alert.id] = Suppression(Superseded.ROUTE_CHANGED, "")
            elif (source := inhibited_by(alert.labels, self.inhibitions, sources)) is not None:
                quiet[alert.id] = Suppression(Superseded.INHIBITED, source)
            elif mute is not None:
                quiet[alert.id] = Suppression(Superseded.MUTED, mute)
            elif (silence := silenced_by(alert.labels, situation.silences, now)) is not None:
                quiet[alert.id] = Suppression(Superseded.SILENCED, silence)
            elif (window := keeping_quiet(alert.labels, self.maintenance, now)) is not None:
                quiet[alert.id] = Suppression(Superseded.MAINTENANCE, window.name)
            elif (spell := spells.get(alert.fingerprint)) is not None and spell.is_known(rings=rings):
                quiet[alert.id] = Suppression(Superseded.FLAPPING, alert.fingerprint)
            elif rings and escalation.is_acknowledged(talk, alert):
                quiet[alert.id] = Suppression(Superseded.ACKNOWLEDGED, talk.incident_id or "")
        return quiet

    def _reason(
        self,
        situation: Situation,
        shown: Sequence[Alert],
        news: Sequence[Alert],
        now: datetime,
        mute: str | None,
        *,
        rings: bool,
    ) -> NoticeReason | None:
        talk = situation.conversation
        reason = needs_notification(
            talk.told,
            firing={alert.id for alert in shown},
            resolved={alert.id for alert in news},
            send_resolved=talk.planned.send_resolved,
            repeat_after=repeat_after(talk.planned),
            now=now,
        )
        if reason is NoticeReason.REPEAT and talk.acknowledged_at is not None:
            reason = None  # not for its time alone
        if reason is None and shown and not talk.retired:
            reason = grouping.told_again(talk, talk.told, now)
        if reason is NoticeReason.CAUSE_FOUND and rings:
            return None
        if reason in (NoticeReason.REPEAT, NoticeReason.REDIAL, NoticeReason.CAUSE_FOUND):
            held_back = talk.retired or mute is not None
            return None if held_back or self._all_muted(situation, shown, now) else reason
        if reason is None and not shown and not talk.retired and talk.planned.send_resolved and not rings:
            missed = [alert for alert in news if not _was_told(talk, alert) and not _is_known_to_flap(situation, alert)]
            return NoticeReason.FIRED_AND_RESOLVED if missed else None
        return reason

    def _all_muted(self, situation: Situation, shown: Sequence[Alert], now: datetime) -> bool:
        sources = cache(situation.sources)
        return all(
            silenced_by(alert.labels, situation.silences, now) is not None
            or inhibited_by(alert.labels, self.inhibitions, sources) is not None
            or keeping_quiet(alert.labels, self.maintenance, now) is not None
            for alert in shown
        )

    def _wakes_at(
        self, talk: Conversation, mute: str | None, now: datetime, *, held: bool, rings: bool
    ) -> datetime | None:
        """When time alone lets more be told than now."""
        if mute is not None:
            return self._mute_ends(talk, now)
        firing = [alert.labels for alert in talk.alerts if is_open(alert)] if self.maintenance else []
        moments = [ends_first(firing, self.maintenance, now), escalation.calls_at(talk) if held else None]
        moments += [alert.rings_from for alert in talk.alerts if rings and is_open(alert)]
        return min((moment for moment in moments if moment is not None and moment > now), default=None)

    def _mute_ends(self, talk: Conversation, now: datetime) -> datetime:
        planned = talk.planned
        return muted_until(planned.mute_time_intervals, planned.active_time_intervals, self.intervals, now)


def _decide_frozen(content: Content, talk: Conversation, *, rings: bool) -> Decision:
    """The receiver may have this content already, under the same key: it is repeated as it is. Only what wakes people
    is not sent for what is over; its end is told instead."""
    open_ids = {alert.id for alert in talk.alerts if is_open(alert)}
    if rings and not any(alert.id in open_ids for alert in content.alerts) and any(map(is_open, content.alerts)):
        return Decision(assume_told=True)
    return Decision(content=content)


def _still_quiet(talk: Conversation, quiet: Mapping[str, Suppression]) -> tuple[tuple[str, Suppression], ...]:
    owed = {item.alert_id for item in talk.owed if item.transition is TransitionKind.FIRING}
    return tuple((alert_id, why) for alert_id, why in quiet.items() if alert_id not in owed)


def _renewed(talk: Conversation, shown: Sequence[Alert]) -> tuple[str, ...]:
    owed = {item.alert_id for item in talk.owed if item.transition is TransitionKind.FIRING}
    return tuple(alert.id for alert in shown if alert.id not in owed and not _was_told(talk, alert))


def _was_told(talk: Conversation, alert: Alert) -> bool:
    return talk.told is not None and alert.id in talk.told.firing


def _spells(situation: Situation) -> Mapping[str, Spell]:
    """What flaps or came back, by fingerprint. Asked only for what is marked so, which is rare."""
    marked = any(item.flapping_since or item.rings_from for item in situation.conversation.alerts)
    return situation.flapping() if marked else {}


def _is_known_to_flap(situation: Situation, alert: Alert) -> bool:
    spell = _spells(situation).get(alert.fingerprint)
    return spell is not None and spell.is_known(rings=False)


def _start_over(talk: Conversation, quiet: Mapping[str, Suppression]) -> tuple[str, ...]:
    """Nobody can be told of these for now, so nobody is to be told that others did not answer."""
    if talk.planned.person is None:
        return ()
    lasting = (Superseded.SILENCED, Superseded.INHIBITED, Superseded.MUTED, Superseded.MAINTENANCE)
    return tuple(alert_id for alert_id, why in quiet.items() if why.reason in (*lasting, Superseded.FLAPPING))
