"""SLOs in the store: what was counted is what a count of the runs gives, whatever order, repetition or correction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from rules.defaults import DEFAULT_RULES
from rules.engine import Engine
from rules.slo.lines import lines_of
from tests.builders import DAY, ORDERS, at, complete, fail, owned, start, task_of
from tests.rules.memory import OneReceiver
from tests.rules.objectives import slo as slo_of
from tests.rules.test_docs import KINDS
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.labels import Matcher
from watchtower.model.rule import SloSnapshot
from watchtower.model.run import JobPatch, JobRef, RunState, Trigger
from watchtower.model.slo import Correction, Counted, Indicator, Objective, Period, Sli, Slo, minute_of
from watchtower.model.slo_days import Day, entries
from watchtower.store import due, facts, jobs, slo_counts, slos
from watchtower.store.database import Database
from watchtower.store.reading.slos import snapshots
from watchtower.store.retention import Retention, delete_old
from watchtower.store.schema.alerting import alerts, transitions
from watchtower.store.schema.slos import slo_counts as table
from watchtower.store.subjects import Subjects

HOUR = 3_600
OTHER = JobRef("airflow-prod", "prod", "billing")


def of_runs(target: str = "0.95", *, sli: Sli = Sli.SUCCESS, name: str = "orders", **said: Any) -> Slo:
    matchers = (Matcher("pipeline", "=", ORDERS.pipeline),)
    measured = Indicator("runs", sli, said.pop("matchers", matchers), **said)
    return slo_of(name=name, objectives=(Objective(Decimal(target), measured),))


def declare(database: Database, *given: Slo, now: datetime = DAY) -> None:
    database.write(lambda connection: slos.declare(connection, given, now))


def hear(database: Database, *heard: Fact) -> None:
    facts.append(database, facts.Intake(list(heard))).result(10)


def counted(database: Database, name: str = "orders") -> list[tuple[int, int, int]]:
    """(minute, good, bad) of each minute that holds anything; the sums of each day are those of its minutes."""
    with database.read() as connection:
        rows = connection.execute(select(table).where(table.c.slo == name).order_by(table.c.day)).all()
    days = [Day(row.day, row.good, row.bad, row.body) for row in rows]
    for day in days:
        _, good, bad = day.minutes()
        assert (day.good, day.bad) == (sum(good), sum(bad))
    return list(entries(days))


def minute(seconds: float) -> int:
    return minute_of(at(seconds))


def test_runs_that_end_are_counted_in_the_minute_of_their_end(database: Database) -> None:
    declare(database, of_runs())
    hear(database, start("a", at(0)), complete("a", at(100)), fail("b", at(110)), complete("c", at(130)))
    hear(database, start("open", at(140)), complete("other", at(150), job=OTHER))
    assert counted(database) == [(minute(60), 1, 1), (minute(120), 1, 0)]


def test_what_is_said_again_is_counted_once(database: Database) -> None:
    declare(database, of_runs())
    for _ in range(2):
        hear(database, complete("a", at(100)), fail("b", at(110)))
    assert counted(database) == [(minute(60), 1, 1)]


def test_a_run_that_is_corrected_is_taken_out_of_where_it_was_counted(database: Database) -> None:
    declare(database, of_runs())
    hear(database, fail("a", at(100), attempt=1))
    assert counted(database) == [(minute(60), 0, 1)]
    hear(database, complete("a", at(7_300), attempt=2))
    assert counted(database) == [(minute(7_260), 1, 0)]


def test_counts_go_with_the_runs_that_they_were_made_of(database: Database) -> None:
    declare(database, of_runs())
    hear(database, complete("old", DAY), complete("new", DAY + timedelta(days=401)))
    gone = delete_old(database, Retention(runs_days=400), DAY + timedelta(days=401))
    assert gone["slo_counts"] == 1
    assert len(counted(database)) == 1


def test_counts_outlive_their_runs_until_the_period_is_over(database: Database) -> None:
    declare(database, replace(of_runs(), period=Period(90, "d")))
    hear(database, complete("old", DAY))
    assert delete_old(database, Retention(runs_days=7), DAY + timedelta(days=90))["slo_counts"] == 0
    assert len(counted(database)) == 1
    assert delete_old(database, Retention(runs_days=7), DAY + timedelta(days=95))["slo_counts"] == 1


@pytest.mark.parametrize(
    "said", [{"trigger": Trigger.BACKFILL}, {"state": RunState.SKIPPED}, {"state": RunState.CANCELLED}]
)
def test_what_did_not_run_for_today_counts_for_nothing(database: Database, said: dict[str, Any]) -> None:
    declare(database, of_runs())
    hear(database, complete("a", at(100), **said))
    assert counted(database) == []


def test_history_counts_for_nothing(database: Database) -> None:
    declare(database, of_runs())
    hear(database, msgspec.structs.replace(fail("a", at(100)), historical=True))
    assert counted(database) == []


def test_tasks_are_counted_only_by_what_names_them(database: Database) -> None:
    named = (Matcher("pipeline", "=", ORDERS.pipeline), Matcher("task", "=~", "lo.*"))
    declare(database, of_runs(), of_runs(name="load", matchers=named))
    hear(
        database, fail("t", at(100), job=task_of(ORDERS, "load")), complete("u", at(100), job=task_of(ORDERS, "check"))
    )
    assert counted(database) == []
    assert counted(database, "load") == [(minute(60), 0, 1)]


GOLD = (Matcher("tag_tier", "=", "gold"),)


def tagged(when: datetime, **tags: str) -> Fact:
    return msgspec.structs.replace(
        owned(ORDERS, "data-lead", when), jobs=(JobPatch(ORDERS, owner="data-lead", tags=tags),)
    )


def test_runs_are_counted_by_the_owner_and_the_tags_that_their_job_has(database: Database) -> None:
    mine = (Matcher("owner", "=", "data-lead"),)
    declare(database, of_runs(name="gold", matchers=GOLD), of_runs(name="mine", matchers=mine))
    hear(database, complete("a", at(100)))
    hear(database, tagged(at(110), tier="gold"), complete("b", at(120)))  # told together: it counts
    hear(database, fail("c", at(180)))
    assert counted(database, "gold") == counted(database, "mine") == [(minute(120), 1, 0), (minute(180), 0, 1)]


def test_what_was_counted_stays_when_a_job_gets_another_tag(database: Database) -> None:
    """A later word of a run is counted by the tags that the job has then."""
    declare(database, of_runs(name="gold", matchers=GOLD))
    hear(database, complete("before", at(60)), tagged(at(100), tier="gold"))
    hear(database, fail("a", at(120), attempt=1))
    hear(database, fail("before", at(180), attempt=2))  # was not counted: nothing is taken out
    hear(database, tagged(at(3_600), tier="lead"), complete("a", at(3_700), attempt=2), complete("b", at(3_700)))
    assert counted(database, "gold") == [(minute(120), 0, 1), (minute(180), 0, 1)]


def test_an_slo_by_team_that_is_declared_later_counts_what_the_store_has(database: Database) -> None:
    hear(database, complete("a", at(100)), complete("c", at(20), job=OTHER))
    database.write(lambda connection: jobs.set_team(connection, {ORDERS.id: "shop"}))
    declare(database, of_runs(name="shop", matchers=(Matcher("team", "=", "shop"),)), now=at(HOUR))
    assert counted(database, "shop") == [(minute(60), 1, 0)]


def test_a_run_over_its_limit_is_bad_by_its_end_and_at_its_limit_good(database: Database) -> None:
    declare(database, of_runs(sli=Sli.LATENCY, op="lte", value=600.0))
    for run, seconds in (("a", 600), ("b", 601)):
        hear(database, start(run, at(0)), complete(run, at(seconds)))
    assert counted(database) == [(minute(600), 1, 1)]


def test_a_time_of_day_by_which_a_run_must_have_ended_is_that_of_its_zone(database: Database) -> None:
    """08:00 UTC is 09:00 in Berlin; the run is meant for that moment, and due at 09:30 there."""
    declare(database, of_runs(sli=Sli.LATENCY, finish_by="09:30", zone="Europe/Berlin"))
    for run, seconds in (("a", 1_800), ("b", 1_801)):
        hear(database, start(run, at(0), nominal_start=at(0)), complete(run, at(seconds)))
    assert counted(database) == [(minute(1_800), 1, 1)]


def test_an_slo_that_is_declared_later_counts_what_the_store_has(database: Database) -> None:
    hear(database, complete("a", at(100)), fail("b", at(110)), complete("c", at(20), job=OTHER))
    declare(database, of_runs(), now=at(HOUR))
    assert counted(database) == [(minute(60), 1, 1)]
    declare(database, of_runs("0.5"), now=at(2 * HOUR))
    assert counted(database) == [(minute(60), 1, 1)]


def test_another_indicator_is_counted_anew_and_what_is_gone_is_forgotten(database: Database) -> None:
    declare(database, of_runs())
    hear(database, start("a", at(0)), complete("a", at(100)))
    declare(database, of_runs(sli=Sli.LATENCY, op="lt", value=100.0), now=at(HOUR))
    assert counted(database) == [(minute(60), 0, 1)]
    hear(database, start("b", at(0)), complete("b", at(99)))
    assert counted(database) == [(minute(60), 1, 1)]
    declare(database, now=at(2 * HOUR))
    assert counted(database) == []
    hear(database, fail("c", at(120)))
    assert counted(database) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 200_000), st.integers(1, 3)), min_size=1, max_size=25
    ),
    st.integers(1, 6),
)
def test_counting_on_is_the_same_as_counting_anew(
    database: Database, told: list[tuple[int, bool, int, int]], size: int
) -> None:
    declare(database)
    declare(database, of_runs())
    heard = [
        (complete if good else fail)(f"r{run}", at(seconds), attempt=attempt) for run, good, seconds, attempt in told
    ]
    for begin in range(0, len(heard), size):
        hear(database, *heard[begin : begin + size])
    kept = counted(database)

    def anew(connection: Any) -> None:
        slo_counts.recount(connection, of_runs(), at(0))

    database.write(anew)
    assert counted(database) == kept


def test_what_two_replicas_count_at_once_is_counted_once_each(database: Database) -> None:
    """On SQLite there is one writer."""
    declare(database, of_runs(), of_runs(name="twin"))
    other = database if database.is_sqlite else Database(database.url.render_as_string(hide_password=False))
    answers = [
        facts.append(each, facts.Intake([complete(f"{name}{number}", at(number % 3 * 60))]))
        for number in range(20)
        for name, each in (("a", database), ("b", other))
    ]
    for answer in answers:
        answer.result(30)
    assert sum(good for _, good, _ in counted(database)) == sum(good for _, good, _ in counted(database, "twin")) == 40
    if other is not database:
        other.close()


def minutes(found: SloSnapshot) -> list[tuple[int, int, int]]:
    (counted_,) = found.parts
    assert isinstance(counted_, Counted)
    return list(entries(counted_.days))


def test_a_snapshot_has_every_minute_of_the_period(database: Database) -> None:
    declare(database, of_runs())
    day = 86_400
    hear(database, complete("old", at(60)), complete("mid", at(9 * day)), fail("new", at(10 * day + 90)))
    with database.read() as connection:
        (found,) = snapshots(connection)
    assert minutes(found) == [(minute(60), 1, 0), (minute(9 * day), 1, 0), (minute(10 * day + 60), 0, 1)]


def test_what_is_older_than_the_period_is_left_out(database: Database) -> None:
    declare(database, replace(of_runs(), period=Period(1, "d")))
    hear(database, complete("old", at(0)), complete("new", at(20 * 86_400)))
    with database.read() as connection:
        (found,) = snapshots(connection)
    assert len(minutes(found)) == 1


def test_an_old_correction_is_exact_to_the_minute(database: Database) -> None:
    declare(database, of_runs())
    hear(database, complete("a", at(60)), fail("b", at(180)), complete("c", at(600)), complete("d", at(20 * 86_400)))
    away = Correction(at(120), at(600), "the warehouse moved", "lea")
    database.write(lambda connection: slos.correct(connection, "orders", away, at(0)))
    with database.read() as connection:
        (found,) = snapshots(connection)
    (line,) = lines_of(found.slo, found.parts, found.corrections)
    assert line.within(minute(0), minute(3_600)) == (2, 0)


def test_corrections_of_the_configuration_come_and_go_with_it(database: Database) -> None:
    declare(database, of_runs(), of_runs(name="other"))
    away = ("orders", Correction(at(0), at(60), "moved", "lea", is_planned=True))
    later = ("orders", Correction(at(600), at(660), "moved again", "lea", is_planned=True))
    by_hand = Correction(at(120), at(180), "by hand", "lea")
    database.write(lambda connection: slos.correct(connection, "orders", by_hand, at(0)))

    def plan(*wanted: tuple[str, Correction]) -> list[str]:
        return database.write(lambda connection: slos.plan(connection, wanted, at(0)))

    def reasons() -> list[str]:
        with database.read() as connection:
            return [each.reason for each in slos.corrections(connection, ["orders"]).get("orders", ())]

    assert (plan(away, later), plan(away, later)) == (["orders"], [])
    assert reasons() == ["moved again", "by hand", "moved"]
    assert plan(later) == ["orders"]
    assert reasons() == ["moved again", "by hand"]
    assert (plan(), reasons()) == (["orders"], ["by hand"])


class House:
    """A store, an engine with the shipped rules, and a clock."""

    def __init__(self, database: Database, clock: ManualClock, given: Sequence[Slo]) -> None:
        self.database, self.clock = database, clock
        self.engine = Engine(Subjects(database, "test"), OneReceiver(), clock, lambda: DEFAULT_RULES, KINDS)
        declare(database, *given, now=clock.now())

    def hear(self, *heard: Fact) -> None:
        for one in heard:
            self.run_until(one.event_time)
            hear(self.database, one)
            self.run_until(one.event_time)

    def run_until(self, end: datetime) -> None:
        while (following := self._next_at()) is not None and following <= end:
            self.clock.set(max(following, self.clock.now()))
            assert self.engine.step()
        self.clock.set(max(end, self.clock.now()))

    def told(self) -> list[tuple[str, str]]:
        query = (
            select(transitions.c.kind, alerts.c.labels)
            .join(alerts, alerts.c.id == transitions.c.alert_id)
            .where(alerts.c.rule == "SloBurn")
            .order_by(transitions.c.id)
        )
        with self.database.read() as connection:
            return [(row.kind, row.labels["severity"]) for row in connection.execute(query)]

    def _next_at(self) -> datetime | None:
        with self.database.read() as connection:
            return due.next_at(connection, [due.RULES])


def test_a_daily_job_from_its_first_failure_to_the_end_of_the_alert(database: Database, clock: ManualClock) -> None:
    house = House(database, clock, [of_runs("0.95")])
    days = [at(day * 86_400) for day in range(1, 34)]
    for number, day in enumerate(days[:28]):
        house.hear(complete(f"d{number}", day))
    house.hear(fail("d28", days[28]))
    assert house.told() == [], "one failure of one run"
    house.hear(fail("d29", days[29]))
    assert house.told() == [("firing", "page")]
    house.hear(complete("d30", days[30]))
    # The newest run is well, but 2 of 1.5 allowed failures are used.
    assert sorted(house.told()[1:]) == [("firing", "ticket"), ("resolved", "page")]
    house.run_until(days[30] + timedelta(days=31))
    assert house.told()[3:] == [("resolved", "ticket")], "by time alone, as the failures leave the period"


def test_the_alerts_of_an_slo_that_is_removed_end(database: Database, clock: ManualClock) -> None:
    house = House(database, clock, [of_runs("0.95")])
    house.hear(*(complete(f"d{day}", at(day * 86_400)) for day in range(1, 10)))
    house.hear(fail("x", at(10 * 86_400)), fail("y", at(11 * 86_400)))
    declare(database, now=house.clock.now())
    assert house.told()[-1] == ("resolved", "page")
