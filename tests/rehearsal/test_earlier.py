"""What a backtest knows from before the oldest event that is kept: what the store still has of that time."""

import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete

from tests.app.house import event
from tests.rehearsal.living import Life, lived, states
from watchtower.config import load_text
from watchtower.model.alert import Alert, NoticeReason
from watchtower.rehearsal.backtest import Replayed, Span, backtest
from watchtower.store import facts
from watchtower.store.schema.observed import facts as facts_table

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, KEPT = 40, 12  # events of the last twelve days are kept
RULES = """
datasets:
  - {dataset: public.orders, namespace: "postgres://shop:5432", fail_after: 30h}
rules:
  - {alert: Failed, kind: run_failure, severity: page}
  - {alert: Slow, kind: duration}
  - {alert: Odd, kind: anomaly, series: score, min_samples: 10}
route: {receiver: all, group_by: [alertname, pipeline, dataset], group_wait: 1m}
receivers: [{name: all, local_configs: [{}]}]
"""
SLO = """
slos:
  - apiVersion: openslo/v1
    kind: SLO
    metadata: {name: orders-success}
    spec:
      service: shop
      indicator:
        metadata: {name: orders-runs}
        spec:
          ratioMetric:
            rawType: success
            raw: {metricSource: {type: watchtower, spec: {sli: success, match: {pipeline: orders}}}}
      timeWindow: [{duration: 30d, isRolling: true}]
      budgetingMethod: Occurrences
      objectives: [{target: 0.9}]
"""
WRITTEN = {"outputs": [{"namespace": "postgres://shop:5432", "name": "public.orders"}]}
PIPELINES = ("orders", "billing")


def live_through(life: Life) -> None:
    """Each pipeline runs every day and now and then fails; once it is slow, on a day when only what came before the
    events that are kept can tell so; at times its score is odd."""
    dice = random.Random(1)
    acts: list[tuple[datetime, bytes, str]] = []
    for number, pipeline in enumerate(PIPELINES):
        for day in range(DAYS):
            begun = BEGINS + timedelta(days=day, hours=6 + 11 * number, seconds=dice.randrange(30))
            run = str(uuid.UUID(int=dice.getrandbits(128), version=4))
            minutes = 240 if day == DAYS - KEPT + 3 else dice.choice([20, 21, 22])
            ends = begun + timedelta(minutes=minutes + 900 * (day == DAYS - KEPT - 1))  # one is under way at the border
            end = "FAIL" if dice.random() < 0.1 or day == DAYS - KEPT + 1 else "COMPLETE"
            acts.append((begun, json.dumps(event(begun, "START", pipeline, run)).encode(), "openlineage"))
            acts.append((ends, json.dumps(event(ends, end, pipeline, run, **WRITTEN)).encode(), "openlineage"))
            value = 9.0 if day % 13 == 4 else dice.choice([0.9, 0.91, 0.92])
            said = {"name": "score", "value": value, "job": pipeline, "namespace": "prod", "at": ends.isoformat()}
            acts.append((ends, json.dumps(said).encode(), "series"))
    for at, body, collector in sorted(acts, key=lambda each: each[0]):
        life.post(at, body, collector)
    life.until(BEGINS + timedelta(days=DAYS, hours=12))


def forget_events(life: Life, limit: datetime = BEGINS + timedelta(days=DAYS - KEPT)) -> None:
    """As retention does."""
    life.instance.database.write(
        lambda connection: connection.execute(delete(facts_table).where(facts_table.c.received_at < limit))
    )


def played_again(life: Life) -> Replayed:
    database = life.instance.database
    with database.read() as connection:
        kept = facts.kept(connection)
    assert kept is not None
    return backtest(database, kept, [life.instance.parts.config], Span(kept.oldest, life.clock.now()))


def fired_from(life: Life, oldest: datetime) -> list[Alert]:
    return [each for each in life.alerts() if each.starts_at is not None and each.starts_at >= oldest]


def test_what_is_left_of_a_history_tells_what_was_told_then(tmp_path: Path, database_url: str) -> None:
    with lived(tmp_path, load_text(RULES + SLO), BEGINS, database_url) as life:
        live_through(life)
        forget_events(life)
        replayed = played_again(life)
        [again] = replayed.fired
        before = fired_from(life, replayed.kept.oldest)
        assert replayed.carried.runs >= 2 * (DAYS - KEPT - 1)
        assert {"Failed", "Slow"} <= {alert.rule for alert in before}
        assert states(again.alerts) == states(before)


def test_what_was_wrong_at_the_beginning_is_not_told_as_news(tmp_path: Path) -> None:
    with lived(tmp_path, load_text(RULES), BEGINS, f"sqlite:///{tmp_path}/life.db") as life:
        for day, end in enumerate(["COMPLETE", "FAIL", "FAIL", "COMPLETE"]):
            begun = BEGINS + timedelta(days=day)
            run = str(uuid.UUID(int=day, version=4))
            for at, what in ((begun, "START"), (begun + timedelta(minutes=5), end)):
                life.post(at, json.dumps(event(at, what, "orders", run)).encode())
        forget_events(life, BEGINS + timedelta(days=2))
        [again] = played_again(life).fired
    assert again.alerts == ()
    assert {told.notice.reason for told in again.told} == {NoticeReason.REPEAT, NoticeReason.ALL_RESOLVED}
    assert again.told[-1].at == BEGINS + timedelta(days=3, minutes=5)
