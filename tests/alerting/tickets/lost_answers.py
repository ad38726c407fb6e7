"""What a help desk must show though an answer of it was lost: on simulators only, since no real desk loses one at will.

Not for Jira, which is told of an end in two requests: its own tests break between them.
"""

from collections.abc import Callable

import pytest

from tests.alerting.notices import all_resolved, late, notice
from tests.alerting.tickets.cases import Bench
from tests.simulators.faults import Fault
from watchtower.errors import Transient
from watchtower.model.alert import NoticeReason

FailNext = Callable[..., None]  # of the desk's simulator: what meets the next requests that change something

LOST = (Fault.ACCEPT_THEN_RESET, Fault.ACCEPT_THEN_500, Fault.EMPTY_200)


def an_end_is_found_and_not_repeated(bench: Bench, fail_next: FailNext, fault: Fault) -> None:
    ref = bench.tell(notice())
    fail_next(fault)
    ended = all_resolved(ref=ref)
    with pytest.raises(Transient) as caught:
        bench.tell(ended)
    assert caught.value.outcome_unknown
    assert bench.make().look_up(ended) is not None
    bench.tell(ended)

    [ticket] = bench.desk.tickets("wt-e1")
    assert (ticket.status, len(ticket.comments)) == ("resolved", 1)


def a_record_that_was_opened_and_not_yet_resolved_is_completed(bench: Bench, fail_next: FailNext) -> None:
    story = all_resolved(late(), reason=NoticeReason.FIRED_AND_RESOLVED, seq=1)
    fail_next(None, Fault.RESET_AFTER_BODY)
    with pytest.raises(Transient):
        bench.tell(story)
    assert [ticket.status for ticket in bench.desk.tickets("wt-e1")] == ["open"]

    assert bench.make().look_up(story) is not None
    assert [ticket.status for ticket in bench.desk.tickets("wt-e1")] == ["resolved"]
