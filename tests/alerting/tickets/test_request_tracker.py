"""Request Tracker on its simulator: the common cases, and what only a simulator can be made to do."""

import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest
from pydantic import ValidationError

from alerting.tickets.request_tracker import RequestTrackerConfig
from tests.alerting.desks import channel
from tests.alerting.notices import NOW, all_resolved, notice
from tests.alerting.tickets import lost_answers
from tests.alerting.tickets.cases import REQUEST_TRACKER_CASES, Bench, Seen, request_tracker_bench, seen_in_rt
from tests.simulators.faults import Fault
from tests.simulators.request_tracker import RequestTrackerSimulator, TicketRow
from watchtower.clock import ManualClock
from watchtower.errors import Transient
from watchtower.model.alert import NoticeReason
from watchtower.ports import Channel


class SimulatedDesk:
    def __init__(self, simulator: RequestTrackerSimulator) -> None:
        self.simulator = simulator

    def tickets(self, episode: str) -> list[Seen]:
        rows = self.simulator.tickets
        return [
            _seen(row) for row in rows if row.custom_fields.get("WatchtowerKey") == episode and row.status != "deleted"
        ]

    def seen(self, ticket_id: str) -> Seen:
        return _seen(self.simulator.tickets[int(ticket_id) - 1])

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        self.simulator.person(int(ticket_id), status=status, owner="root" if owner else None)

    def copy(self, ticket_id: str) -> str:
        row = self.simulator.tickets[int(ticket_id) - 1]
        ident = len(self.simulator.tickets) + 1
        copied = TicketRow(ident, row.queue, row.subject, row.creator, row.priority, dict(row.custom_fields))
        self.simulator.tickets.append(copied)
        return str(ident)


def _seen(row: TicketRow) -> Seen:
    return seen_in_rt(row.id, row.subject, row.status, row.priority, row.comments)


@pytest.fixture
def simulator() -> Generator[RequestTrackerSimulator]:
    with RequestTrackerSimulator(NOW) as made:
        yield made


@pytest.fixture
def bench(simulator: RequestTrackerSimulator) -> Bench:
    def make(**options: Any) -> Channel:
        login = {"username": "fixer", "password": "fixer-password", "queue": "General", "base_url": simulator.url}
        clock = ManualClock(NOW)
        clock.advance(1)
        return channel("request_tracker", clock, **{**login, **options})

    return request_tracker_bench(make, SimulatedDesk(simulator))


@pytest.mark.parametrize("case", REQUEST_TRACKER_CASES, ids=lambda case: case.__name__)
def test_on_the_simulator(case: Callable[[Bench, str], None], bench: Bench) -> None:
    case(bench, "e1")


def test_a_token_is_as_good_as_a_password(bench: Bench, simulator: RequestTrackerSimulator) -> None:
    made = channel("request_tracker", base_url=simulator.url, queue="General", token="1-14-simulator")
    made.deliver(notice())

    assert simulator.requests[-1].headers["authorization"] == "token 1-14-simulator"
    assert len(simulator.tickets) == 1


@pytest.mark.parametrize("fault", lost_answers.LOST, ids=str)
def test_an_end_whose_answer_was_lost(fault: Fault, bench: Bench, simulator: RequestTrackerSimulator) -> None:
    lost_answers.an_end_is_found_and_not_repeated(bench, simulator.fail_next, fault)


def test_a_record_whose_end_was_lost(bench: Bench, simulator: RequestTrackerSimulator) -> None:
    lost_answers.a_record_that_was_opened_and_not_yet_resolved_is_completed(bench, simulator.fail_next)


def test_a_priority_that_a_person_set_stands(bench: Bench, simulator: RequestTrackerSimulator) -> None:
    ref = bench.tell(notice())
    simulator.tickets[0].priority = 33
    bench.tell(notice(reason=NoticeReason.REPEAT, seq=2, ref=ref))

    assert simulator.tickets[0].priority == 33


def test_a_ticket_that_its_reporter_owns_is_nobodys(bench: Bench, simulator: RequestTrackerSimulator) -> None:
    ref = bench.tell(notice())
    simulator.person(1, owner="fixer")
    bench.tell(all_resolved(ref=ref))

    assert simulator.tickets[0].status == "resolved"


def test_a_desk_whose_search_lags_is_searched_again_before_a_repeat(
    bench: Bench, simulator: RequestTrackerSimulator
) -> None:
    simulator.fail_next(Fault.ACCEPT_THEN_500)
    with pytest.raises(Transient):
        bench.tell(notice())
    simulator.search_blind = True
    assert bench.make().look_up(notice()) is None  # the outbox waits for settle_s before it asks
    simulator.search_blind = False
    bench.tell(notice())

    assert len(simulator.tickets) == 1


def test_a_key_that_the_account_may_not_write_is_reported_and_the_ticket_still_counts(
    bench: Bench, simulator: RequestTrackerSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.drops_keys = True
    with caplog.at_level(logging.ERROR):
        ref = bench.tell(notice())

    assert ref["ticket"] == "1"
    assert "dropped the key" in caplog.text


def test_the_custom_field_is_checked_once_a_channel(bench: Bench, simulator: RequestTrackerSimulator) -> None:
    made = bench.make()
    made.deliver(notice())
    made.deliver(notice(episode="e2"))

    assert [request.path for request in simulator.requests].count("/REST/2.0/queue/General") == 1


def test_a_long_history_is_read_to_its_end(bench: Bench, simulator: RequestTrackerSimulator) -> None:
    ref = bench.tell(notice())
    made = bench.make()
    for number in range(2, 250):
        made.deliver(notice(reason=NoticeReason.REPEAT, seq=number, ref=ref))

    assert bench.make().look_up(notice(reason=NoticeReason.REPEAT, seq=249, ref=ref)) is not None
    assert bench.make().look_up(notice(reason=NoticeReason.REPEAT, seq=250, ref=ref)) is None


def test_a_key_with_a_quote_cannot_leave_its_place_in_the_query(
    bench: Bench, simulator: RequestTrackerSimulator
) -> None:
    bench.tell(notice(episode_key="x' OR id > 0 OR Subject = '", key="k'"))

    queries = [request.query["query"] for request in simulator.requests if "query" in request.query]
    assert queries
    assert all(query.count("'") == 2 for query in queries)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"token": "t"}, "one login"),
        ({"username": ""}, "one login"),
        ({"password": None}, "password: needed"),
        ({"queue": "Q' OR 1=1"}, "letters, digits"),
        ({"custom_field": "a}b"}, "letters, digits"),
        ({"reopen_within": "-1d"}, "duration"),
        ({"on_resolved": "delete"}, "resolve"),
        ({"priorities": {"urgent": 9}}, "page"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(change: dict[str, Any], named: str) -> None:
    base = {"base_url": "https://rt.example.com", "username": "u", "password": "p", "queue": "General"}
    given = {name: value for name, value in {**base, **change}.items() if value not in (None, "")}
    with pytest.raises(ValidationError, match=named):
        RequestTrackerConfig.model_validate(given)
