"""Any help desk as a Channel: one common table of when to open, comment, resolve and reopen a ticket.

One ticket per group episode, found by the episode's key before one is opened; a problem that comes back within
`reopen_within` continues the earlier ticket. What a person decided on the desk stands (docs/tickets.md). The bugs this
is built against: duplicate tickets and lost reopening in Alertmanager's Jira notifier (#4295, #4431), jiralert #119.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol

from alerting.channels.settings import Settings
from alerting.escaping import safe_id, shorten
from alerting.rendering import MAX_TITLE, Rendered, render
from watchtower.config.types import Duration
from watchtower.errors import Transient
from watchtower.model.alert import Notice, NoticeReason, Receipt, Severity
from watchtower.ports import ChannelContext, Ticket, TicketSystem

MAX_TEXT = 20_000  # characters; desks take more, people do not
REOPEN_WITHIN_S = 3 * 86_400.0
_URGENCY = {Severity.INFO: 0, Severity.TICKET: 1, Severity.PAGE: 2}


class DeskConfig(Settings):
    """What every desk is told. on_resolved: `resolve` the ticket when all alerts are resolved, or only `comment`;
    resolve_owned: also one that a person has taken."""

    send_resolved: bool = True
    reopen_within: Duration = REOPEN_WITHIN_S
    on_resolved: Literal["resolve", "comment"] = "resolve"
    resolve_owned: bool = False


class Step(StrEnum):
    NOTHING = "nothing"
    OPEN = "open"
    OPEN_RESOLVED = "open_resolved"  # a record of what began and ended while the desk was away
    FOLLOW_UP = "follow_up"  # a new ticket that names the earlier one
    COMMENT = "comment"
    RESOLVE = "resolve"
    REOPEN = "reopen"


def next_step(notice: Notice, ticket: Ticket | None, *, earlier: bool, config: DeskConfig, now: datetime) -> Step:
    """The common table. ticket: of this episode, or (earlier) of the one before. now: aware UTC."""
    if notice.is_resolved:
        return _when_resolved(notice, ticket, earlier=earlier, config=config)
    if ticket is None:
        return Step.OPEN
    if ticket.status == "open":
        return Step.COMMENT
    decided = None if earlier else _as_decided(notice, ticket)
    if decided is not None:
        return decided
    if ticket.status == "resolved" and _is_recent(ticket, config.reopen_within, now):
        return Step.REOPEN
    return Step.FOLLOW_UP


def _as_decided(notice: Notice, ticket: Ticket) -> Step | None:
    """A person ended the ticket of this episode knowing of this problem: tell, do not overrule. None: it goes on."""
    if ticket.locked:
        return Step.FOLLOW_UP if notice.reason in (NoticeReason.FIRST, NoticeReason.NEW_ALERTS) else Step.NOTHING
    known = (NoticeReason.REPEAT, NoticeReason.RESOLVED_ALERTS, NoticeReason.CAUSE_FOUND)
    return Step.COMMENT if notice.reason in known or ticket.status == "closed" else None


def _when_resolved(notice: Notice, ticket: Ticket | None, *, earlier: bool, config: DeskConfig) -> Step:
    if ticket is None or (earlier and ticket.status != "open"):
        return Step.OPEN_RESOLVED if notice.reason is NoticeReason.FIRED_AND_RESOLVED else Step.NOTHING
    if ticket.locked:
        return Step.NOTHING
    if ticket.status != "open" or config.on_resolved == "comment" or earlier:
        return Step.COMMENT
    return Step.COMMENT if ticket.owner and not config.resolve_owned else Step.RESOLVE


def _is_recent(ticket: Ticket, within_s: float, now: datetime) -> bool:
    """A desk that does not say when it resolved counts as recent: better one thread than a second ticket."""
    return ticket.resolved_at is None or now - ticket.resolved_at <= timedelta(seconds=within_s)


@dataclass(frozen=True, slots=True)
class _Thread:
    """The ticket to continue, None if there is none. earlier: it is that of the episode before, or there was none;
    duplicates: other tickets of this episode."""

    ticket: Ticket | None
    earlier: bool = False
    duplicates: int = 0


class _Factory(Protocol):
    def __call__(self, config: Any, context: ChannelContext) -> TicketSystem: ...


class Desk:
    """A ticket system as a Channel. Made by `desk_channel`, one subclass per system."""

    name: ClassVar[str]
    Config: ClassVar[type[DeskConfig]]
    settle_s: ClassVar[float]
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = False
    System: ClassVar[_Factory]

    def __init__(self, config: DeskConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        self._system = type(self).System(config, context)

    def deliver(self, notice: Notice) -> Receipt:
        thread = self._thread_of(notice)
        if self._is_shown(notice, thread):
            return self._receipt(notice, thread.ticket, thread.duplicates)
        now = self._context.clock.now()
        step = next_step(notice, thread.ticket, earlier=thread.earlier, config=self._config, now=now)
        return self._receipt(notice, self._take(step, notice, thread), thread.duplicates)

    def look_up(self, notice: Notice) -> Receipt | None:
        thread = self._thread_of(notice)
        return self._receipt(notice, thread.ticket, thread.duplicates) if self._is_shown(notice, thread) else None

    def _thread_of(self, notice: Notice) -> "_Thread":
        known = notice.ref.get("ticket")
        ticket = self._system.get(str(known)) if known is not None else None
        if ticket is not None and not ticket.locked:
            return _Thread(ticket)
        found = self._system.find(notice.episode_key)
        going_on = [one for one in found if not one.locked]  # a follow-up carries the key of its episode, too
        if going_on:
            return _Thread(going_on[0], duplicates=self._close_newer(notice, going_on))
        if ticket is not None or found:
            return _Thread(ticket or found[-1])
        before = (notice.previous_ref or {}).get("ticket")
        return _Thread(self._system.get(str(before)) if before is not None else None, earlier=True)

    def _close_newer(self, notice: Notice, found: list[Ticket]) -> int:
        """Two tickets of one episode mean that a request landed after its settle time: the newer one is closed."""
        first, *newer = found
        for ticket in newer:
            key = safe_id(f"{notice.episode_key}-duplicate")
            if ticket.status == "open" and key not in ticket.keys:
                self._system.resolve(ticket.id, key, f"Duplicate of ticket {first.id}: {first.url}")
        return len(newer)

    def _take(self, step: Step, notice: Notice, thread: "_Thread") -> Ticket | None:
        rendered, ticket, key = render(notice), thread.ticket, safe_id(notice.key)
        if step in (Step.OPEN, Step.OPEN_RESOLVED, Step.FOLLOW_UP):
            opened = self._system.open(notice, shorten(rendered.title, MAX_TITLE), _text(rendered, ticket))
            if step is Step.OPEN_RESOLVED:
                self._end_record(opened, notice, rendered.news)
            return opened
        if ticket is None or step is Step.NOTHING:
            return None if thread.earlier else ticket
        if step is Step.RESOLVE:
            self._system.resolve(ticket.id, key, _news(rendered))
            return ticket
        self._raise_severity(notice, ticket)
        if step is Step.REOPEN:
            self._system.reopen(ticket.id, key, f"It is back.\n\n{_news(rendered)}")
        else:
            self._system.comment(ticket.id, key, _news(rendered))
        return ticket

    def _end_record(self, opened: Ticket, notice: Notice, text: str) -> None:
        """The ticket is there: whoever goes on waits until a search can see it."""
        try:
            self._system.resolve(opened.id, _end_key(notice), text)
        except Transient as error:
            told, after = str(error), error.retry_after_s
            raise Transient(error.reason, told, retry_after_s=after, outcome_unknown=True) from error

    def _raise_severity(self, notice: Notice, ticket: Ticket) -> None:
        """Only ever upwards, and only from what we set ourselves: a person's priority stands."""
        before = notice.ref.get("severity") or (notice.previous_ref or {}).get("severity")
        if not notice.is_resolved and before and _URGENCY[notice.severity] > _URGENCY[Severity(before)]:
            self._system.set_severity(ticket.id, notice.severity)

    def _is_shown(self, notice: Notice, thread: "_Thread") -> bool:
        """Whether the ticket already has what this notice says. Completes a record that was opened and not resolved."""
        ticket = thread.ticket
        if ticket is None or safe_id(notice.key) not in ticket.keys:
            return False
        stopped_half_way = (
            notice.reason is NoticeReason.FIRED_AND_RESOLVED
            and not (thread.earlier or notice.ref.get("ticket"))
            and ticket.status == "open"
            and _end_key(notice) not in ticket.keys
        )
        if stopped_half_way:
            self._system.resolve(ticket.id, _end_key(notice), render(notice).news)
        return True

    def _receipt(self, notice: Notice, ticket: Ticket | None, duplicates: int) -> Receipt:
        if ticket is None:
            return Receipt(f"{self.name}:none", duplicates=duplicates)
        before = notice.ref.get("severity")
        urgency = max((Severity(before), notice.severity) if before else (notice.severity,), key=_URGENCY.__getitem__)
        ref: Mapping[str, Any] = {"ticket": ticket.id, "url": ticket.url, "severity": urgency.value}
        return Receipt(f"{self.name}:{ticket.id}", ref, duplicates + ticket.twins)


def desk_channel(system: Any) -> type[Desk]:
    """The Channel class of a TicketSystem class."""
    made = {"name": system.name, "Config": system.Config, "settle_s": system.settle_s, "System": staticmethod(system)}
    return type(f"{system.__name__}Desk", (Desk,), made)


def _text(rendered: Rendered, earlier: Ticket | None) -> str:
    told = f"Follow-up of ticket {earlier.id}: {earlier.url}\n\n" if earlier else ""
    return shorten(told + rendered.text, MAX_TEXT)


def _news(rendered: Rendered) -> str:
    """A comment begins with what changed: the reader knows the rest."""
    first = rendered.news or rendered.summary
    return shorten(f"{first}\n\n{replace(rendered, news='').text}", MAX_TEXT)


def _end_key(notice: Notice) -> str:
    return safe_id(f"{notice.key}-end")
