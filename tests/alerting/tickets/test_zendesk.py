"""Zendesk on its simulator: the common cases, and what only Zendesk does: lock tickets, fold creations by key, refuse
updates that come too late. No real Zendesk was reached: a schema written from its reference judges the requests.
"""

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from alerting.tickets.zendesk import ZendeskConfig
from tests.alerting.desks import channel
from tests.alerting.notices import NOW, alert, all_resolved, late, notice
from tests.alerting.tickets import lost_answers
from tests.alerting.tickets.cases import CASES, Bench, Seen
from tests.simulators.faults import Fault
from tests.simulators.zendesk import (
    ACCOUNT,
    API_TOKEN,
    EMAIL,
    GROUP,
    OAUTH_TOKEN,
    OTHER_GROUP,
    PERSON,
    WEAK,
    TicketRow,
    ZendeskSimulator,
)
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import NoticeReason
from watchtower.ports import Channel

LOGIN = {"email": EMAIL, "api_token": API_TOKEN}


class SimulatedDesk:
    def __init__(self, simulator: ZendeskSimulator) -> None:
        self.simulator = simulator

    def tickets(self, episode: str) -> list[Seen]:
        rows = self.simulator.ledger
        return [_seen(row) for row in rows if row.fields["external_id"] == episode and row.status != "deleted"]

    def seen(self, ticket_id: str) -> Seen:
        return _seen(self.simulator.row(ticket_id))

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        words = {"resolved": "solved", "rejected": "solved"}
        tag = "wont_fix" if status == "rejected" else ""
        self.simulator.person(ticket_id, status=words.get(status or "", status), owner=owner is not None, tag=tag)

    def copy(self, ticket_id: str) -> str:
        row = self.simulator.row(ticket_id)
        return str(self.simulator.open({**row.fields, "comment": row.comments[0]}).id)


def _seen(row: TicketRow) -> Seen:
    ended = {"solved": "rejected" if "wont_fix" in row.fields["tags"] else "resolved", "closed": "closed"}
    severity = {"urgent": "page", "normal": "ticket", "low": "info"}[row.fields["priority"]]
    comments = tuple(str(comment["body"]) for comment in row.comments[1:])
    return Seen(str(row.id), row.fields["subject"], ended.get(row.status, "open"), severity, comments)


@pytest.fixture
def simulator() -> Generator[ZendeskSimulator]:
    with ZendeskSimulator(NOW) as made:
        yield made


@pytest.fixture
def bench(simulator: ZendeskSimulator) -> Bench:
    def make(**options: Any) -> Channel:
        clock = ManualClock(simulator.now + timedelta(seconds=1))
        return channel("zendesk", clock, **{**LOGIN, "base_url": simulator.url, **options})

    wrong, weak = {"api_token": "wrong-password"}, {"email": WEAK}
    return Bench("zendesk", make, SimulatedDesk(simulator), "/agent/tickets/{id}", wrong, weak)


@pytest.fixture(autouse=True)
def judged(simulator: ZendeskSimulator) -> Generator[None]:
    """Every request of every test is one that Zendesk's reference knows."""
    yield
    for request in simulator.requests:
        if request.method in ("POST", "PUT"):
            faults = [error.message for error in JUDGES[request.method].iter_errors(request.json)]
            assert not faults
            assert request.headers["content-type"] == "application/json"
            assert 0 < len(request.headers.get("idempotency-key", "x")) <= 255
            assert ("idempotency-key" in request.headers) == (request.method == "POST")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_on_the_simulator(case: Callable[[Bench, str], None], bench: Bench) -> None:
    case(bench, "e1")


# -- closed for good ---------------------------------------------------------------------------------------------------


def test_what_comes_back_after_a_ticket_was_closed_is_its_follow_up(bench: Bench, simulator: ZendeskSimulator) -> None:
    ref = bench.tell(notice())
    bench.tell(all_resolved(ref=ref))
    simulator.person(ref["ticket"], status="closed")
    told = bench.tell(notice(episode="e2", previous_ref=ref))

    follow_up = simulator.row(told["ticket"])
    assert (follow_up.follow_up_of, follow_up.fields["external_id"]) == (int(ref["ticket"]), "wt-e2")
    assert f"Follow-up of ticket {ref['ticket']}" in follow_up.comments[0]["body"]
    assert len(simulator.row(ref["ticket"]).comments) == 2


def test_news_of_what_a_closed_ticket_knows_change_nothing(bench: Bench, simulator: ZendeskSimulator) -> None:
    ref = bench.tell(notice())
    simulator.person(ref["ticket"], status="closed")
    for story in (notice(reason=NoticeReason.REPEAT, seq=2, ref=ref), all_resolved(seq=3, ref=ref)):
        assert bench.make().deliver(story).provider_id == f"zendesk:{ref['ticket']}"

    assert [len(row.comments) for row in simulator.ledger] == [1]


def test_new_alerts_after_a_ticket_was_closed_open_one_follow_up_that_goes_on(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    ref = bench.tell(notice())
    simulator.person(ref["ticket"], status="closed")
    grown = notice(alert(), late(), reason=NoticeReason.NEW_ALERTS, seq=2, ref=ref)
    simulator.fail_next(Fault.ACCEPT_THEN_RESET)
    with pytest.raises(Transient):
        bench.tell(grown)
    found = bench.make().look_up(grown)
    assert found is not None
    assert (found.duplicates, found.ref["ticket"]) == (0, "2")
    bench.tell(grown)
    ended = all_resolved(alert(), late(), seq=3, ref=found.ref)
    bench.tell(ended)

    assert [(row.status, row.follow_up_of) for row in simulator.ledger] == [("closed", None), ("solved", 1)]


def test_a_ticket_that_is_closed_in_the_moment_of_an_update_is_followed_up_by_the_next_attempt(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    ref = bench.tell(notice())
    bench.tell(all_resolved(ref=ref))
    simulator.meanwhile = lambda: simulator.person(ref["ticket"], status="closed")
    back = notice(episode="e2", previous_ref=ref)
    with pytest.raises(Transient, match="closed just now") as caught:
        bench.tell(back)
    told = bench.tell(back)

    assert not caught.value.outcome_unknown
    assert simulator.row(told["ticket"]).follow_up_of == int(ref["ticket"])


def test_a_solved_ticket_is_reopened_by_when_it_was_solved_not_by_when_it_was_touched(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    ref = bench.tell(notice())
    bench.tell(all_resolved(ref=ref))
    simulator.now += timedelta(days=4)
    simulator.person(ref["ticket"], tag="reviewed")
    told = bench.tell(notice(episode="e2", previous_ref=ref))

    assert told["ticket"] != ref["ticket"]
    assert simulator.row(told["ticket"]).follow_up_of is None  # Zendesk links follow-ups of closed tickets only


# -- opened once -------------------------------------------------------------------------------------------------------


def test_a_ticket_that_no_listing_shows_yet_is_not_opened_again(bench: Bench, simulator: ZendeskSimulator) -> None:
    simulator.lag_s = 3600
    simulator.fail_next(Fault.ACCEPT_THEN_RESET)
    with pytest.raises(Transient):
        bench.tell(notice())
    assert bench.make().look_up(notice()) is None
    told = bench.tell(notice(attempt=2))

    assert (told["ticket"], len(simulator.ledger)) == ("1", 1)


def test_the_same_key_with_another_text_says_that_the_ticket_is_there_and_waits_for_it(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    simulator.lag_s = 600
    simulator.fail_next(Fault.ACCEPT_THEN_RESET)
    with pytest.raises(Transient):
        bench.tell(notice())
    later = notice(attempt=2, now=NOW + timedelta(minutes=5))
    with pytest.raises(Transient, match="not listed yet") as caught:
        bench.tell(later)
    assert caught.value.outcome_unknown
    simulator.now += timedelta(minutes=11)
    found = bench.make().look_up(later)

    assert found is not None
    assert (found.ref["ticket"], len(simulator.ledger)) == ("1", 1)


def test_once_the_key_has_expired_the_listing_is_what_keeps_it_one_ticket(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    simulator.lag_s = 600
    simulator.fail_next(Fault.ACCEPT_THEN_RESET)
    with pytest.raises(Transient):
        bench.tell(notice())
    simulator.now += timedelta(hours=3)
    bench.tell(notice(attempt=2, now=simulator.now))

    assert len(simulator.ledger) == 1


def test_a_ticket_that_was_deleted_is_replaced_though_its_key_still_lasts(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    ref = bench.tell(notice())
    simulator.person(ref["ticket"], status="deleted")
    told = bench.tell(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref))

    assert told["ticket"] == "2"


def test_a_record_whose_end_was_lost(bench: Bench, simulator: ZendeskSimulator) -> None:
    lost_answers.a_record_that_was_opened_and_not_yet_resolved_is_completed(bench, simulator.fail_next)


# -- told once ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", lost_answers.LOST, ids=str)
def test_an_end_whose_answer_was_lost(fault: Fault, bench: Bench, simulator: ZendeskSimulator) -> None:
    lost_answers.an_end_is_found_and_not_repeated(bench, simulator.fail_next, fault)


def test_an_update_of_what_has_changed_meanwhile_is_not_made_blindly(bench: Bench, simulator: ZendeskSimulator) -> None:
    """Our own request that was thought lost may be what came in between."""
    ref = bench.tell(notice())

    def changed() -> None:
        simulator.now += timedelta(seconds=1)
        simulator.person(ref["ticket"], owner=True)

    simulator.meanwhile = changed
    ended = all_resolved(ref=ref)
    with pytest.raises(Transient, match="409") as caught:
        bench.tell(ended)
    assert not caught.value.outcome_unknown
    assert len(simulator.ledger[0].comments) == 1
    bench.tell(ended)

    assert len(simulator.ledger[0].comments) == 2
    assert simulator.ledger[0].status == "new"  # somebody has taken it by now


def test_a_long_history_is_read_to_its_end(bench: Bench, simulator: ZendeskSimulator) -> None:
    ref = bench.tell(notice())
    for _ in range(230):
        simulator.person(ref["ticket"], status="open")
    bench.tell(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref))

    assert bench.make().look_up(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref)) is not None
    assert bench.make().look_up(notice(reason=NoticeReason.REPEAT, seq=3, ref=ref)) is None


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_nobodys_ticket_is_solved_by_the_account_and_is_nobodys_when_it_comes_back(
    bench: Bench, simulator: ZendeskSimulator
) -> None:
    ref = bench.tell(notice())
    bench.tell(all_resolved(ref=ref))
    bench.tell(notice(episode="e2", previous_ref=ref))
    assert (simulator.ledger[0].status, simulator.ledger[0].fields["assignee_id"]) == ("open", ACCOUNT)
    bench.tell(all_resolved(episode="e2", ref=ref))

    assert simulator.ledger[0].status == "solved"


def test_an_account_outside_of_the_group_is_told_what_to_do(bench: Bench, simulator: ZendeskSimulator) -> None:
    ref = bench.tell(notice(), group_id=OTHER_GROUP)
    with pytest.raises(Permanent, match=r"not a member of the group.*be a member of the group"):
        bench.tell(all_resolved(ref=ref), group_id=OTHER_GROUP)

    assert simulator.ledger[0].status == "new"


def test_the_assignee_of_the_file_has_not_taken_the_ticket(bench: Bench, simulator: ZendeskSimulator) -> None:
    options = {"group_id": GROUP, "assignee_id": PERSON}
    ref = bench.tell(notice(), **options)
    bench.tell(all_resolved(ref=ref), **options)

    assert (simulator.ledger[0].status, simulator.ledger[0].fields["assignee_id"]) == ("solved", PERSON)


def test_comments_are_internal_unless_the_file_says_otherwise(bench: Bench, simulator: ZendeskSimulator) -> None:
    bench.tell(notice())
    bench.tell(notice(episode="e2"), public_comments=True)

    assert [row.comments[0]["public"] for row in simulator.ledger] == [False, True]


def test_a_ticket_is_opened_as_the_file_says(bench: Bench, simulator: ZendeskSimulator) -> None:
    options = {
        "group_id": GROUP,
        "tags": ["data", "etl"],
        "custom_fields": {360001: "orders", 360002: True},
        "priorities": {"page": "high"},
        "requester": "data@example.com",
        "brand_id": 5,
        "ticket_form_id": 6,
        "type": "problem",
    }
    bench.tell(notice(), **options)
    made = next(request.json["ticket"] for request in simulator.requests if request.method == "POST")

    assert made["custom_fields"] == [{"id": 360001, "value": "orders"}, {"id": 360002, "value": True}]
    assert made["requester"] == {"email": "data@example.com", "name": "data@example.com"}
    expected = {"group_id": GROUP, "tags": ["data", "etl"], "priority": "high", "brand_id": 5, "type": "problem"}
    assert {name: made[name] for name in expected} == expected


def test_a_text_of_any_size_fits_into_a_comment(bench: Bench, simulator: ZendeskSimulator) -> None:
    bench.tell(notice(*(alert(f"p{n}", annotations={"summary": "\U0001f600" * 900}) for n in range(30))))

    assert len(simulator.ledger[0].comments[0]["body"].encode()) <= 65_535


# -- logging in --------------------------------------------------------------------------------------------------------


def test_an_oauth_token_is_as_good_as_an_api_token(simulator: ZendeskSimulator) -> None:
    channel("zendesk", base_url=simulator.url, oauth_token=OAUTH_TOKEN).deliver(notice())

    assert simulator.requests[-1].headers["authorization"] == f"Bearer {OAUTH_TOKEN}"
    assert len(simulator.ledger) == 1


def test_an_account_that_is_anonymous_is_not_taken_for_one(simulator: ZendeskSimulator, bench: Bench) -> None:
    """Zendesk answers 200 to whoever asks who they are."""
    bench.tell(notice())
    simulator.person(1, owner=True)
    made = bench.make(api_token="other")

    with pytest.raises(Permanent) as caught:
        made.deliver(all_resolved(ref={"ticket": "1", "severity": "page"}))
    assert caught.value.reason is Reason.AUTH


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"oauth_token": "t"}, "found api_token and oauth_token"),
        ({"api_token": None}, "found none"),
        ({"email": None}, "email: needed beside api_token"),
        ({"api_token": None, "oauth_token": "t"}, "only there"),
        ({"tags": ["data platform"]}, "data_platform"),
        ({"priorities": {"page": "critical"}}, "urgent"),
        ({"custom_fields": {"name": 1}}, "integer"),
        ({"base_url": "https://{{ .X }}"}, "Go template"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(change: dict[str, Any], named: str) -> None:
    given = {"base_url": "https://example.zendesk.com", **LOGIN, **change}
    with pytest.raises(ValidationError, match=named):
        ZendeskConfig.model_validate({name: value for name, value in given.items() if value is not None})


# Written by hand from the Ticketing API reference; Zendesk ignores what it does not know, so this refuses it.
_COMMENT = {
    "type": "object",
    "required": ["body"],
    "additionalProperties": False,
    "properties": {"body": {"type": "string", "minLength": 1, "maxLength": 65_535}, "public": {"type": "boolean"}},
}
_PRIORITY = {"enum": ["urgent", "high", "normal", "low"]}
_METADATA = {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string", "maxLength": 200}}
_CREATE: dict[str, Any] = {
    "subject": {"type": "string", "minLength": 1, "maxLength": 150},
    "comment": _COMMENT,
    "type": {"enum": ["problem", "incident", "question", "task"]},
    "priority": _PRIORITY,
    "external_id": {"type": "string", "minLength": 1, "maxLength": 255},
    "metadata": _METADATA,
    "tags": {"type": "array", "items": {"type": "string", "pattern": r"^\S+$"}},
    "requester": {
        "type": "object",
        "required": ["email", "name"],
        "additionalProperties": False,
        "properties": {"email": {"type": "string"}, "name": {"type": "string"}},
    },
    "custom_fields": {"type": "array", "items": {"type": "object", "required": ["id", "value"]}},
    **{name: {"type": "integer"} for name in ("group_id", "assignee_id", "brand_id", "ticket_form_id")},
    "via_followup_source_id": {"type": "integer"},
}
_UPDATE: dict[str, Any] = {
    "comment": _COMMENT,
    "metadata": _METADATA,
    "priority": _PRIORITY,
    "status": {"enum": ["open", "pending", "hold", "solved"]},
    "assignee_id": {"type": "integer"},
    "safe_update": {"const": True},
    "updated_stamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
}


def _judge(properties: dict[str, Any], required: list[str], together: dict[str, list[str]]) -> Any:
    ticket = {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
        "dependentRequired": together,
    }
    whole = {"type": "object", "required": ["ticket"], "additionalProperties": False, "properties": {"ticket": ticket}}
    return Draft202012Validator(whole)


JUDGES: dict[str, Any] = {
    "POST": _judge(_CREATE, ["subject", "comment", "external_id"], {}),
    "PUT": _judge(_UPDATE, [], {"safe_update": ["updated_stamp"], "metadata": ["comment"]}),
}


def test_the_judge_is_awake() -> None:
    assert list(JUDGES["POST"].iter_errors({"ticket": {"subject": "a", "comment": {"body": "b"}, "external_id": 7}}))
    assert list(JUDGES["PUT"].iter_errors({"ticket": {"status": "closed"}}))
