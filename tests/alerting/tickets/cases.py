"""What a help desk must show after each story: the same cases run on the simulator and on the real desk.

Each case gets a bench and an episode of its own, so that they can share one desk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from tests.alerting.notices import alert, all_resolved, late, notice, resolved
from watchtower.errors import Permanent, Reason
from watchtower.model.alert import Notice, NoticeReason
from watchtower.ports import Channel


@dataclass(frozen=True, slots=True)
class Seen:
    """A ticket as people see it on the desk. status: open, resolved or rejected; severity: what its priority stands
    for; comments: oldest first, without the text it was opened with."""

    id: str
    subject: str
    status: str
    severity: str
    comments: tuple[str, ...]


class Desk(Protocol):
    """The desk itself, not through Watchtower."""

    def tickets(self, episode: str) -> list[Seen]:
        """Those that carry the key of the episode, oldest first."""
        ...

    def seen(self, ticket_id: str) -> Seen: ...

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        """status: one of those of Seen, or deleted."""
        ...

    def copy(self, ticket_id: str) -> str:
        """A second ticket with the same key, as a request that landed late would make."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """make: another instance of the channel, as after a restart, with changed options; path: of a ticket's page;
    wrong, weak: options of a login with a wrong password and of an account without rights."""

    name: str
    make: Callable[..., Channel]
    desk: Desk
    path: str
    wrong: Mapping[str, Any]
    weak: Mapping[str, Any]

    def tell(self, story: Notice, **options: Any) -> Mapping[str, Any]:
        return self.make(**options).deliver(story).ref


def opens_once_and_shows_the_evidence(bench: Bench, episode: str) -> None:
    receipt = bench.make().deliver(notice(episode=episode))
    [ticket] = bench.desk.tickets(f"wt-{episode}")

    assert ticket.subject == "[PAGE] orders_daily: task load failed on its last attempt: division by zero"
    assert (ticket.status, ticket.severity) == ("open", "page")
    assert receipt.provider_id == f"{bench.name}:{ticket.id}"
    assert receipt.ref["url"].endswith(bench.path.format(id=ticket.id))


def a_repeat_of_the_first_notice_opens_no_second_ticket(bench: Bench, episode: str) -> None:
    bench.tell(notice(episode=episode))
    bench.tell(notice(episode=episode, attempt=2))

    [ticket] = bench.desk.tickets(f"wt-{episode}")
    assert ticket.comments == ()


def a_first_notice_is_found_by_a_new_process(bench: Bench, episode: str) -> None:
    told = bench.make().deliver(notice(episode=episode))

    assert bench.make().look_up(notice(episode=episode)) == told
    assert bench.make().look_up(notice(episode=episode, seq=2)) is None
    assert bench.make().look_up(notice(episode=f"{episode}x")) is None


def later_news_are_comments_told_once(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    news = notice(alert(), late(), episode=episode, reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref)
    bench.tell(news)
    bench.tell(news)

    [ticket] = bench.desk.tickets(f"wt-{episode}")
    assert len(ticket.comments) == 1
    assert "New alerts in this group: 2 firing" in ticket.comments[0]
    assert bench.make().look_up(news) is not None


def news_of_an_episode_whose_ref_was_lost_reach_its_ticket(bench: Bench, episode: str) -> None:
    bench.tell(notice(episode=episode))
    bench.tell(notice(episode=episode, reason=NoticeReason.REPEAT, seq=2))

    [ticket] = bench.desk.tickets(f"wt-{episode}")
    assert len(ticket.comments) == 1


def the_end_resolves_the_ticket_with_a_comment(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    ended = all_resolved(episode=episode, ref=ref)
    bench.tell(ended)
    bench.tell(ended)

    [ticket] = bench.desk.tickets(f"wt-{episode}")
    assert ticket.status == "resolved"
    assert [comment.startswith("Resolved after 12 min.") for comment in ticket.comments] == [True]


def the_end_is_only_a_comment_where_so_configured(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.tell(all_resolved(episode=episode, ref=ref), on_resolved="comment")

    [ticket] = bench.desk.tickets(f"wt-{episode}")
    assert (ticket.status, len(ticket.comments)) == ("open", 1)


def a_ticket_that_a_person_took_is_left_to_them(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.desk.person(ref["ticket"], owner="somebody", status="open")
    bench.tell(all_resolved(episode=episode, ref=ref))
    seen = bench.desk.seen(ref["ticket"])
    assert (seen.status, len(seen.comments)) == ("open", 1)

    bench.tell(all_resolved(episode=episode, ref=ref, seq=3), resolve_owned=True)
    assert bench.desk.seen(ref["ticket"]).status == "resolved"


def a_persons_resolution_stands_while_nothing_new_happens(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.desk.person(ref["ticket"], status="resolved")
    bench.tell(notice(episode=episode, reason=NoticeReason.REPEAT, seq=2, ref=ref))
    assert bench.desk.seen(ref["ticket"]).status == "resolved"

    bench.tell(notice(alert(), late(), episode=episode, reason=NoticeReason.NEW_ALERTS, seq=3, ref=ref))
    seen = bench.desk.seen(ref["ticket"])
    assert (seen.status, len(seen.comments)) == ("open", 2)


def what_comes_back_reopens_the_ticket(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.tell(all_resolved(episode=episode, ref=ref))
    back = notice(episode=f"{episode}-2", previous_ref=ref)
    told = bench.make().deliver(back)

    seen = bench.desk.seen(ref["ticket"])
    assert seen.status == "open"
    assert seen.comments[-1].startswith("It is back.")
    assert bench.desk.tickets(f"wt-{episode}-2") == []
    assert told.ref["ticket"] == ref["ticket"]
    assert bench.make().look_up(back) == told
    bench.tell(back)
    assert len(bench.desk.seen(ref["ticket"]).comments) == 2


def what_comes_back_after_the_window_opens_a_follow_up(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.tell(all_resolved(episode=episode, ref=ref))
    bench.tell(notice(episode=f"{episode}-2", previous_ref=ref), reopen_within="0s")

    [follow_up] = bench.desk.tickets(f"wt-{episode}-2")
    assert follow_up.id != ref["ticket"]
    assert bench.desk.seen(ref["ticket"]).status == "resolved"


def what_a_person_rejected_is_not_reopened(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.desk.person(ref["ticket"], status="rejected")
    bench.tell(notice(episode=f"{episode}-2", previous_ref=ref))

    assert bench.desk.seen(ref["ticket"]).status == "rejected"
    assert len(bench.desk.tickets(f"wt-{episode}-2")) == 1


def an_open_ticket_of_the_episode_before_goes_on(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.desk.person(ref["ticket"], status="open", owner="somebody")
    bench.tell(all_resolved(episode=episode, ref=ref))
    bench.tell(notice(episode=f"{episode}-2", previous_ref=ref))

    assert bench.desk.tickets(f"wt-{episode}-2") == []
    assert len(bench.desk.seen(ref["ticket"]).comments) == 2


def a_ticket_that_was_deleted_is_replaced_while_it_fires(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    bench.desk.person(ref["ticket"], status="deleted")
    told = bench.tell(notice(alert(), late(), episode=episode, reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref))

    assert told["ticket"] != ref["ticket"]
    assert bench.desk.seen(told["ticket"]).status == "open"


def a_resolved_group_never_opens_a_ticket(bench: Bench, episode: str) -> None:
    receipt = bench.make().deliver(all_resolved(episode=episode))

    assert receipt.provider_id == f"{bench.name}:none"
    assert bench.desk.tickets(f"wt-{episode}") == []


def what_fired_and_ended_while_the_desk_was_away_is_one_resolved_record(bench: Bench, episode: str) -> None:
    story = all_resolved(late(), episode=episode, reason=NoticeReason.FIRED_AND_RESOLVED, seq=1)
    bench.tell(story)
    assert bench.make().look_up(story) is not None
    bench.tell(story)

    [ticket] = bench.desk.tickets(f"wt-{episode}")
    assert (ticket.status, ticket.severity, len(ticket.comments)) == ("resolved", "ticket", 1)


def a_worse_severity_raises_the_priority_and_a_lesser_one_does_not_lower_it(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(late(), episode=episode))
    first = bench.desk.seen(ref["ticket"]).severity
    grown = notice(alert(), late(), episode=episode, reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref)
    ref = bench.tell(grown)
    worse = bench.desk.seen(ref["ticket"]).severity
    fewer = notice(late(), resolved(alert()), episode=episode, reason=NoticeReason.RESOLVED_ALERTS, seq=3, ref=ref)
    bench.tell(fewer)

    assert (first, worse, bench.desk.seen(ref["ticket"]).severity) == ("ticket", "page", "page")


def two_tickets_of_one_episode_are_made_one(bench: Bench, episode: str) -> None:
    ref = bench.tell(notice(episode=episode))
    second = bench.desk.copy(ref["ticket"])
    found = bench.make().look_up(notice(episode=episode))

    assert found is not None
    assert (found.duplicates, found.ref["ticket"]) == (1, ref["ticket"])
    closed = bench.desk.seen(second)
    assert closed.status == "resolved"
    assert closed.comments[0].startswith(f"Duplicate of ticket {ref['ticket']}")
    assert bench.desk.seen(ref["ticket"]).status == "open"


def a_queue_without_the_custom_field_is_refused_before_anything_is_opened(bench: Bench, episode: str) -> None:
    with pytest.raises(Permanent, match=r"no ticket custom field 'WatchtowerKey'.*apply it to the queue"):
        bench.tell(notice(episode=episode), queue="Bare")

    assert bench.desk.tickets(f"wt-{episode}") == []


def an_unknown_queue_is_named(bench: Bench, episode: str) -> None:
    with pytest.raises(Permanent, match="Nowhere"):
        bench.tell(notice(episode=episode), queue="Nowhere")


def a_status_that_the_lifecycle_does_not_know_is_not_taken_for_done(bench: Bench, episode: str) -> None:
    """RT answers 200 or 201 with the complaint in the body."""
    ref = bench.tell(notice(episode=episode))
    with pytest.raises(Permanent, match=r"is 'new', not 'fixed'.*isn't a valid status.*resolved_status"):
        bench.tell(all_resolved(episode=episode, ref=ref), resolved_status="fixed")


def a_wrong_password_is_told_as_such(bench: Bench, episode: str) -> None:
    with pytest.raises(Permanent) as caught:
        bench.tell(notice(episode=episode), **bench.wrong)

    assert caught.value.reason is Reason.AUTH
    assert "wrong-password" not in str(caught.value)


def an_account_without_rights_is_told_what_it_lacks(bench: Bench, episode: str) -> None:
    with pytest.raises(Permanent) as caught:
        bench.tell(notice(episode=episode), **bench.weak)

    assert caught.value.reason is Reason.AUTH


def text_that_looks_like_a_key_does_not_pass_for_one(bench: Bench, episode: str) -> None:
    forged = f"x\n-- \nWatchtower notice wt-{episode}-2"
    ref = bench.tell(notice(alert(annotations={"summary": forged}, evidence={"error": forged}), episode=episode))
    bench.desk.person(ref["ticket"], status="open")

    assert bench.make().look_up(notice(episode=episode, seq=2)) is None


def text_of_every_script_arrives_as_it_was(bench: Bench, episode: str) -> None:
    odd = alert(annotations={"summary": "Überfällig: заказы 注文 😀 <b>&amp;</b>"})
    ref = bench.tell(notice(odd, episode=episode))

    assert "Überfällig: заказы 注文 😀 <b>&amp;</b>" in bench.desk.seen(ref["ticket"]).subject


CASES: tuple[Callable[[Bench, str], None], ...] = (
    opens_once_and_shows_the_evidence,
    a_repeat_of_the_first_notice_opens_no_second_ticket,
    a_first_notice_is_found_by_a_new_process,
    later_news_are_comments_told_once,
    news_of_an_episode_whose_ref_was_lost_reach_its_ticket,
    the_end_resolves_the_ticket_with_a_comment,
    the_end_is_only_a_comment_where_so_configured,
    a_ticket_that_a_person_took_is_left_to_them,
    a_persons_resolution_stands_while_nothing_new_happens,
    what_comes_back_reopens_the_ticket,
    what_comes_back_after_the_window_opens_a_follow_up,
    what_a_person_rejected_is_not_reopened,
    an_open_ticket_of_the_episode_before_goes_on,
    a_ticket_that_was_deleted_is_replaced_while_it_fires,
    a_resolved_group_never_opens_a_ticket,
    what_fired_and_ended_while_the_desk_was_away_is_one_resolved_record,
    a_worse_severity_raises_the_priority_and_a_lesser_one_does_not_lower_it,
    two_tickets_of_one_episode_are_made_one,
    a_wrong_password_is_told_as_such,
    an_account_without_rights_is_told_what_it_lacks,
    text_that_looks_like_a_key_does_not_pass_for_one,
    text_of_every_script_arrives_as_it_was,
)

REQUEST_TRACKER_CASES = (
    *CASES,
    a_queue_without_the_custom_field_is_refused_before_anything_is_opened,
    an_unknown_queue_is_named,
    a_status_that_the_lifecycle_does_not_know_is_not_taken_for_done,
)


def request_tracker_bench(make: Callable[..., Channel], desk: Desk) -> Bench:
    wrong = {"password": "wrong-password"}
    weak = {"username": "guest", "password": "guest-password"}
    return Bench("request_tracker", make, desk, "/Ticket/Display.html?id={id}", wrong, weak)


def seen_in_rt(ticket_id: int, subject: str, status: str, priority: int, comments: Sequence[str]) -> Seen:
    shown = status if status in ("resolved", "rejected") else "open"
    return Seen(str(ticket_id), subject, shown, {80: "page", 50: "ticket", 20: "info"}[priority], tuple(comments))
