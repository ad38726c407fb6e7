"""A backtest hears bills as they came in: budgets, objectives and costs per unit tell again what they told then."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.app.house import event
from tests.charges import Line, bring
from tests.rehearsal.living import Life, lived, states
from tests.rehearsal.test_earlier import fired_from, forget_events, played_again
from watchtower.config import load_text
from watchtower.model.spending import midnight
from watchtower.store import costs

BEGINS = datetime(2026, 3, 25, tzinfo=UTC)  # so that the days lie in two periods
OWN = {"Pipeline": "orders"}
RULES = """
budgets:
  - {name: orders-daily, scope: {tag: {Pipeline: orders}}, period: day, limit: {amount: "0.35", currency: USD}}
rules:
  - {alert: Dear, kind: unit_cost, match: {pipeline: orders}, per: gb, scope: {tag: {Pipeline: orders}}, min_samples: 5}
route: {receiver: all, group_wait: 1m}
receivers: [{name: all, local_configs: [{}]}]
"""
WRITTEN = {
    "outputs": [
        {"namespace": "db", "name": "orders", "outputFacets": {"outputStatistics": {"rowCount": 1, "size": 10**10}}}
    ]
}


def live_through(life: Life, amounts: Sequence[str], restated: Sequence[tuple[int, str]] = ()) -> None:
    """orders writes 10 GB a day; each morning the bill of the day before comes. restated: what the bill that comes on
    that day says of the day before the last."""
    told = list(amounts)
    for day in range(len(amounts)):
        begun = BEGINS + timedelta(days=day, hours=2)
        run = str(uuid.UUID(int=day, version=4))
        life.post(begun, json.dumps(event(begun, "START", "orders", run)).encode())
        ends = begun + timedelta(minutes=20)
        life.post(ends, json.dumps(event(ends, "COMPLETE", "orders", run, **WRITTEN)).encode())
        came = BEGINS + timedelta(days=day + 1, hours=1, minutes=30)
        life.until(came)
        told[day - 1] = dict(restated).get(day, told[day - 1])
        lines = [Line((BEGINS + timedelta(days=each)).date(), told[each], OWN) for each in range(day + 1)]
        lines += [
            Line((BEGINS + timedelta(days=each)).date(), "900", {"Pipeline": "clicks"}) for each in range(day + 1)
        ]
        bring(life.instance.database, lines, came, covered_until=midnight(came.date()))
    life.until(BEGINS + timedelta(days=len(amounts) + 2))


STEADY = ["0.20", "0.21"] * 3
AMOUNTS = [*STEADY, "0.40", "0.20", "0.38"]
IN_APRIL = 2


def test_what_bills_told_is_told_again_also_where_only_the_newest_sums_are_left(
    tmp_path: Path,
) -> None:
    with lived(tmp_path, load_text(RULES), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        live_through(life, AMOUNTS)
        before = [alert for alert in life.alerts() if not alert.historical]
        assert {"Dear", "BudgetExceeded"} <= {alert.rule for alert in before}
        for keep in (12, 1):
            costs.let_go(life.instance.database, keep=keep)
            replayed = played_again(life)
            assert states(replayed.fired[0].alerts) == states(before)
            assert replayed.bills == len(AMOUNTS) + IN_APRIL, "each morning of April the bill of March came, too"


def test_a_day_that_was_restated_is_told_as_it_was_first_billed(tmp_path: Path) -> None:
    with lived(tmp_path, load_text(RULES), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        live_through(life, [*STEADY, "0.40", "0.20"], restated=[(7, "0.20")])
        before = [alert for alert in life.alerts() if not alert.historical]
        assert {alert.rule: alert.ends_at for alert in before if alert.rule == "Dear"} != {}
        assert states(played_again(life).fired[0].alerts) == states(before)


def test_what_a_bill_said_before_the_oldest_event_is_known_and_no_news(tmp_path: Path) -> None:
    with lived(tmp_path, load_text(RULES), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        live_through(life, [*STEADY, "0.40", "0.40", "0.20", "0.38"])
        forget_events(life, BEGINS + timedelta(days=8, hours=1))
        replayed = played_again(life)
        told = {(alert.rule, alert.labels.get("period")) for alert in replayed.fired[0].alerts}
        since = fired_from(life, replayed.kept.oldest)
        assert told == {(alert.rule, alert.labels.get("period")) for alert in since}
        assert ("BudgetExceeded", f"{(BEGINS + timedelta(days=9)).date()}") in told
