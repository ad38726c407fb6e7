"""Promise S2: playing all stored facts again gives every alert in the state and at the moments it had."""

import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.app.house import event
from tests.rehearsal.living import Life, lived, states
from watchtower.config import load_text
from watchtower.demo import recording
from watchtower.demo.grid import LINEAGE, move
from watchtower.model.alert import Alert

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
RULES = """
jobs:
  nightly: {namespace: prod, schedule: "0 5 * * *", start_within: 10m, finish_within: 2h}
datasets:
  - {dataset: public.orders, namespace: "postgres://shop:5432", fail_after: 5h}
rules:
  - {alert: Failed, kind: run_failure, severity: page}
  - {alert: Slow, kind: duration, max: 30m, for: 10m, keep_firing_for: 20m}
  - {alert: ScoreLow, kind: threshold, series: score, below: 0.5, for: 5m}
route: {receiver: all, group_by: [pipeline], group_wait: 1m}
receivers: [{name: all, local_configs: [{}]}]
"""
WRITTEN = {"outputs": [{"namespace": "postgres://shop:5432", "name": "public.orders"}]}
PIPELINES = ("nightly", "orders", "billing")

# Seconds since the act before, whose, what, and how long it was on its way: an hour and more makes it history.
acts = st.tuples(
    st.integers(1, 9_000),
    st.sampled_from(PIPELINES),
    st.sampled_from(["start", "start", "ends well", "ends well", "fails", "says it again", "score"]),
    st.sampled_from([0, 0, 0, 20, 4_000]),
)
Act = tuple[int, str, str, int]


def live_through(life: Life, story: list[Act]) -> None:
    now = BEGINS
    runs: dict[str, str] = {}
    last = b""
    made = random.Random(1)
    for gap, pipeline, what, late_s in story:
        now += timedelta(seconds=gap)
        when = now - timedelta(seconds=late_s)
        if what == "score":
            said = {"name": "score", "value": made.choice([0.4, 0.6]), "job": pipeline, "namespace": "prod"}
            life.post(now, json.dumps({**said, "at": when.isoformat()}).encode(), "series")
            continue
        if what == "start" or pipeline not in runs:
            runs[pipeline] = str(uuid.UUID(int=made.getrandbits(128), version=4))
            told = event(when, "START", pipeline, runs[pipeline])
        else:
            told = event(when, "FAIL" if what == "fails" else "COMPLETE", pipeline, runs[pipeline], **WRITTEN)
        last = last if what == "says it again" and last else json.dumps(told).encode()
        life.post(now, last)
    life.until(now + timedelta(hours=8))


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(story=st.lists(acts, min_size=5, max_size=25))
def test_whatever_happened_gives_the_same_alerts_again(
    story: list[Act], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("life")
    with lived(folder, load_text(RULES), BEGINS, f"sqlite:///{folder}/life.db") as life:
        live_through(life, story)
        [again] = life.again()
        assert states(again.alerts) == states(fired(life))


def test_a_week_of_three_pipelines_gives_the_same_alerts_on_either_store(tmp_path: Path, database_url: str) -> None:
    made = random.Random(2)
    whats = ["start", "ends well", "fails", "says it again", "score"]
    story = [
        (made.randrange(1, 9_000), made.choice(PIPELINES), made.choice(whats), made.choice([0, 0, 20, 4_000]))
        for _ in range(40)
    ]
    with lived(tmp_path, load_text(RULES), BEGINS, database_url) as life:
        live_through(life, story)
        [again] = life.again()
        assert len({alert.rule for alert in again.alerts}) >= 4
        assert states(again.alerts) == states(fired(life))


def test_the_recorded_day_gives_the_same_alerts_again(tmp_path: Path) -> None:
    """On PostgreSQL: tests/e2e/test_again.py."""
    play_the_recorded_day(tmp_path, f"sqlite:///{tmp_path}/life.db")


def play_the_recorded_day(folder: Path, database_url: str) -> None:
    day = move(recording.load(), datetime(2026, 3, 2, 12, tzinfo=UTC))
    with lived(folder, load_text(""), day.begins, database_url) as life:
        for post in day.posts:
            if post.path == LINEAGE:
                life.post(post.received_at, post.body)
        life.until(day.now)
        [again] = life.again()
        assert len(again.alerts) == 6
        assert {alert.rule for alert in again.alerts} == {"RunFailed", "RunMissing", "RunSlow", "DatasetStale"}
        assert states(again.alerts) == states(fired(life))


def fired(life: Life) -> list[Alert]:
    return [each for each in life.alerts() if each.starts_at is not None and not each.historical]
