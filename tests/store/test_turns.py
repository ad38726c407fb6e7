"""What is due at once is taken in turns by whose it is: one team's storm holds nobody else's page, on both engines."""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from tests.builders import ORDERS, at, fail, task_of
from watchtower.model.alert import Severity
from watchtower.model.incident import rank_of
from watchtower.model.labels import OTHERS, party_of
from watchtower.model.rule import SubjectKey
from watchtower.ports import Outcome
from watchtower.store import driver, due
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.notices import lane
from watchtower.store.subjects import Subjects
from watchtower.store.turns import URGENT_IN_A_ROW

LATER = at(10_000)
PAGE, TICKET, INFO = (rank_of(severity) for severity in (Severity.PAGE, Severity.TICKET, Severity.INFO))
SHARED = lane("team/slack[0]")


def fail_all(database: Database, storms: Mapping[str, int], when: float = 0) -> None:
    """So many subjects of each party become urgent."""
    parties = {f"job:{party}-{number:05}": party for party, size in storms.items() for number in range(size)}
    database.write(lambda c: due.mark(c, due.RULES, [*parties], at(when), urgent=[*parties], parties=parties))


def fail_nth(database: Database, parties: Collection[str], number: int) -> None:
    of = {f"job:{one}-{number:05}": one for one in parties}
    database.write(lambda c: due.mark(c, due.RULES, [*of], at(number), urgent=[*of], parties=of))


def wait(database: Database, where: str, subject: str, place: due.Place, when: float = 0) -> None:
    database.write(lambda c: due.mark_ranked(c, where, subject, at(when), place))


def claim(database: Database, limit: int, where: str = due.RULES, holder: str = "me") -> list[str]:
    return [one.subject for one in database.write(lambda c: due.claim(c, where, LATER, limit, holder))]


def judged(database: Database, subjects: list[str]) -> None:
    """Each was evaluated as often as it was marked, and nothing is due any more."""
    database.write(lambda c: due.settle_judged(c, [due.Judged(subject, 1, None) for subject in subjects]))


def party(subject: str) -> str:
    return subject.removeprefix("job:").rpartition("-")[0]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    storms=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40), min_size=1),
    limit=st.integers(1, 16),
    before=st.integers(0, 5),
)
def test_a_page_waits_one_turn_of_the_others_however_many_failures_each_of_them_has(
    database: Database, storms: Mapping[str, int], limit: int, before: int
) -> None:
    database.write(lambda c: c.execute(text("DELETE FROM due")))
    fail_all(database, storms)
    taken = [one for _ in range(before) for one in claim(database, limit)]
    judged(database, taken)
    waiting = Counter(storms) - Counter(map(party, taken))
    fail_all(database, {"quiet": 1}, when=9_000)
    most = -(-(len(waiting) + 1) // limit)  # claims in which everybody has one turn
    found: list[str] = []
    for _ in range(most + most // URGENT_IN_A_ROW + 1):
        found += claim(database, limit)
        judged(database, found)
    assert "job:quiet-00000" in found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(storms=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40), min_size=1), limit=st.integers(1, 70))
def test_each_claim_gives_everybody_the_same_and_each_row_is_taken_once_the_oldest_first(
    database: Database, storms: Mapping[str, int], limit: int
) -> None:
    database.write(lambda c: c.execute(text("DELETE FROM due")))
    for number in range(max(storms.values())):
        fail_nth(database, {one for one, size in storms.items() if number < size}, number)
    left, taken = Counter(storms), list[str]()
    while found := claim(database, limit):
        served = Counter(map(party, found))
        if len(left) <= limit and sum(left.values()) > limit:
            share = limit // len(left)
            assert served == Counter({one: min(share, size) for one, size in left.items()})
        judged(database, found)
        taken += found
        left -= served
    assert len(taken) == len(set(taken)) == sum(storms.values())
    for one in storms:
        of_it = [subject for subject in taken if party(subject) == one]
        assert of_it == sorted(of_it)


def test_a_deadline_is_judged_through_a_storm_of_failures(database: Database) -> None:
    fail_all(database, {"storm": 200})
    database.write(lambda c: due.mark(c, due.RULES, ["job:deadline"], at(5_000), parties={"job:deadline": "quiet"}))
    claims = [claim(database, 8) for _ in range(URGENT_IN_A_ROW + 1)]
    assert "job:deadline" in claims[-1]
    assert not any("job:deadline" in each for each in claims[:-1])


def test_failures_that_may_wake_somebody_are_judged_before_those_that_open_a_ticket(database: Database) -> None:
    fail_all(database, {"a": 3, "b": 3})
    tickets, pages = ["job:a-00000", "job:a-00001"], ["job:b-00002"]
    database.write(
        lambda c: due.settle_judged(
            c,
            [
                *(due.Judged(each, 1, None, gravity=TICKET) for each in tickets),
                *(due.Judged(each, 1, None, gravity=PAGE) for each in pages),
            ],
        )
    )
    judged(database, ["job:a-00002", "job:b-00000", "job:b-00001"])
    fail_all(database, {"a": 2}, when=1)
    fail_all(database, {"b": 3}, when=2)
    assert set(claim(database, 2)) == {"job:b-00000", "job:b-00001"}, "what nobody has judged yet may be a page"
    assert claim(database, 2)[0] == "job:b-00002"


def test_what_waits_for_a_shared_destination_goes_in_turns_within_its_rank(database: Database) -> None:
    for number in range(6):
        wait(database, SHARED, f"a{number}", due.Place(PAGE, "a"), when=number)
    wait(database, SHARED, "b0", due.Place(PAGE, "b"), when=50)
    wait(database, SHARED, "c0", due.Place(TICKET, "c"))
    order: list[str] = []
    while found := claim(database, 1, SHARED):
        order += found
    assert order.index("b0") <= 1
    assert order[-1] == "c0"
    assert [one for one in order if one[0] == "a"] == [f"a{number}" for number in range(6)]


def test_groups_are_looked_at_in_turns(database: Database) -> None:
    for number in range(100):
        wait(database, due.GROUP, f"a{number}", due.Place(PAGE, "a"))
    wait(database, due.GROUP, "b0", due.Place(PAGE, "b"), when=50)
    assert "b0" in claim(database, 50, due.GROUP)


def test_what_another_replica_holds_costs_nobody_a_turn(database: Database) -> None:
    fail_all(database, {"storm": 40})
    assert len(claim(database, 16, holder="other")) == 16
    fail_all(database, {"quiet": 1}, when=1)
    found = claim(database, 16)
    assert "job:quiet-00000" in found
    assert not set(found) & set(claim(database, 16, holder="third"))


def test_whose_a_subject_is_is_known_from_its_name_and_then_from_its_evaluation(database: Database) -> None:
    append(database, Intake([fail("t1", at(5), job=task_of(ORDERS, "load"), parent="r1", final=True)])).result(10)
    assert _row(database) == (ORDERS.namespace, None, PAGE)
    subjects = Subjects(database, "me")
    (mine,) = [one for one in subjects.claim_due_subjects(LATER, 10) if one.key == SubjectKey("job", ORDERS.id)]
    assert mine.urgent
    subjects.commit_outcomes([Outcome(mine.key, mine.version, None, (), (), "payments", TICKET)], LATER)
    assert _row(database) == ("payments", TICKET, None)
    append(database, Intake([fail("t2", at(6), job=task_of(ORDERS, "load"), parent="r2", final=True)])).result(10)
    assert _row(database) == ("payments", TICKET, TICKET)


def _row(database: Database) -> tuple[str, int | None, int | None]:
    asked = text("SELECT party, gravity, rank FROM due WHERE subject = :subject")
    with database.read() as connection:
        row = connection.execute(asked, {"subject": f"job:{ORDERS.id}"}).one()
        return row.party, row.gravity, row.rank


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        ({"team": "payments", "namespace": "airflow"}, "payments"),
        ({"team": "", "namespace": "airflow"}, "airflow"),
        ({"budget": "all"}, OTHERS),
    ],
    ids=["a team", "a namespace", "nobody"],
)
def test_a_team_shares_a_turn_else_a_namespace(labels: Mapping[str, str], whose: str) -> None:
    assert party_of(labels) == whose


QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "rules": lambda connection: due.peek(connection, due.RULES, LATER, 64),
    "groups": lambda connection: due.peek(connection, due.GROUP, LATER, 50),
    "a destination": lambda connection: due.peek(connection, SHARED, LATER, 1),
    "when anything is free": lambda connection: due.free_at(connection, [due.RULES, due.GROUP, SHARED]),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_what_a_claim_costs_does_not_grow_with_the_queue(
    migrated_sqlite: Path, tmp_path: Path, ask: Callable[[Connection], object]
) -> None:
    """Counted in steps of SQLite's machine: twenty times as much is due, and as many are taken."""
    steps: list[int] = []
    for size in (200, 4_000):
        file = tmp_path / f"{size}.db"
        shutil.copyfile(migrated_sqlite, file)
        database = Database(f"sqlite:///{file}")
        fail_all(database, {f"team{number}": size // 10 for number in range(10)})
        for where in (due.GROUP, SHARED):
            database.write(partial(_many, where=where, size=size))
        with database.read() as connection:
            driver.rows(connection, "SELECT 1", ())
            steps.append(_steps(connection, ask))
        database.close()
    assert steps[1] < 1.2 * steps[0], steps


def _many(connection: Connection, *, where: str, size: int) -> None:
    for number in range(size):
        due.mark_ranked(connection, where, f"{number:05}", at(0), due.Place(number % 3, f"team{number % 10}"))


def _steps(connection: Connection, ask: Callable[[Connection], object]) -> int:
    counted = count()
    underneath = connection.connection.driver_connection
    underneath.set_progress_handler(lambda: next(counted) and 0, 1)  # type: ignore[union-attr]
    ask(connection)
    underneath.set_progress_handler(None, 0)  # type: ignore[union-attr]
    return next(counted)
