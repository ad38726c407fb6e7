"""freshness: when data is too old, what makes it new, and what only seems to."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError

from rules.kinds.freshness import Freshness, FreshnessConfig
from rules.words import iso
from tests.rules.timeline import at, moments_of_change, of_dataset, only, rule, update
from watchtower.model.alert import Severity
from watchtower.model.run import DatasetUpdate

KIND = Freshness()
PAIR = rule(KIND, severity=Severity.PAGE, warn_after="6h", fail_after="12h")


def test_warning_and_failure_are_two_alerts_and_the_warning_stays() -> None:
    snapshot = of_dataset([update(at(0, "06:00"))])
    assert moments_of_change(KIND, PAIR, snapshot, at(0, "06:00"), at(9)) == [at(0, "12:00"), at(0, "18:00")]
    warning = only(KIND.evaluate(PAIR, snapshot, at(0, "12:00")))
    assert warning.labels == {"severity": "ticket"}
    assert warning.evidence["level"] == "warn"
    both = KIND.evaluate(PAIR, snapshot, at(0, "18:00")).violations
    assert [each.evidence["level"] for each in both] == ["warn", "fail"]
    assert both[1].labels == {}
    assert both[1].summary == (
        "shop.public.orders has no new data since 2026-03-02 06:00 UTC, longer than 12h (limit 12h)"
    )


def test_an_info_rule_has_no_softer_level_so_only_the_failure_is_told() -> None:
    info = rule(KIND, severity=Severity.INFO, warn_after="6h", fail_after="12h")
    assert moments_of_change(KIND, info, of_dataset([update(at(0))]), at(0), at(9)) == [at(0, "12:00")]


def test_new_data_resolves_it_and_is_named() -> None:
    evaluation = KIND.evaluate(PAIR, of_dataset([update(at(0)), update(at(0, "20:00"))]), at(0, "20:00"))
    assert not evaluation.violations
    assert evaluation.resolution["updated_at"] == "2026-03-02T20:00:00Z"


@pytest.mark.parametrize(
    ("rewrite", "is_new"),
    [
        (update(at(1), backfill=True, historical=True), False),
        (update(at(1), partition="2026-02-20"), False),
        (update(at(1), partition="2026-03-02"), True),
        (update(at(1), partition="2026-03-03"), True),
        (update(at(1)), True),
        (update(at(1), historical=True), True),
    ],
    ids=["backfill", "older partition", "same partition", "newer partition", "unpartitioned", "replayed"],
)
def test_what_counts_as_new_data(rewrite: DatasetUpdate, is_new: bool) -> None:
    snapshot = of_dataset([update(at(0), partition="2026-03-02"), rewrite])
    assert bool(KIND.evaluate(PAIR, snapshot, at(1, "01:00")).violations) is not is_new


def test_by_its_own_time_a_table_is_old_although_runs_write_it() -> None:
    own = rule(KIND, by="data", fail_after="6h")
    told = update(at(0, "06:00"), job_id=None)
    written = [told, update(at(0, "11:00")), update(at(0, "12:00"))]
    assert not KIND.evaluate(rule(KIND, fail_after="6h"), of_dataset(written), at(0, "12:00")).violations
    before = KIND.evaluate(own, of_dataset(written), at(0, "11:59"))
    assert (before.violations, before.next_at) == ((), at(0, "12:00"))
    assert only(KIND.evaluate(own, of_dataset(written), at(0, "12:00"))).evidence["last_update"] == iso(told.at)
    untold = KIND.evaluate(own, of_dataset(written[1:], updated_at=at(0, "12:00")), at(3))
    assert untold.learning == "its own time was never told"
    assert "by the time that it tells itself" in KIND.describe(own)


def test_numbers_in_partitions_compare_as_numbers() -> None:
    updates = [update(at(0, f"{hour:02}:00"), partition=f"hour={hour}") for hour in range(8, 12)]
    evaluation = KIND.evaluate(PAIR, of_dataset(updates), at(0, "16:59"))
    assert not evaluation.violations
    assert evaluation.next_at == at(0, "17:00")


def test_a_declared_dataset_that_was_never_updated_ages_from_its_declaration() -> None:
    snapshot = of_dataset([], declared=True, first_seen=at(0))
    assert "was never updated since it was declared" in only(KIND.evaluate(PAIR, snapshot, at(0, "06:00"))).summary
    assert KIND.evaluate(PAIR, of_dataset([]), at(9)).learning == "no update of it was ever seen"


def test_a_regular_cadence_is_given_half_a_period() -> None:
    learned = rule(KIND)
    daily = [update(at(day, "06:20")) for day in range(14)]
    assert KIND.evaluate(learned, of_dataset(daily[:8]), at(8)).learning == "7 of 10 updates"
    assert KIND.evaluate(learned, of_dataset(daily), at(13, "12:00")).next_at == at(14, "18:20")
    weekdays = [update(at(day, "06:20")) for day in range(19) if day % 7 < 5]  # ends on a Friday
    assert KIND.evaluate(learned, of_dataset(weekdays), at(18, "12:00")).next_at == at(21, "06:20") + timedelta(
        days=1.5
    )


def test_an_irregular_cadence_is_measured_by_its_gaps() -> None:
    learned = rule(KIND)
    moments = [at(0)]
    for index in range(40):
        moments.append(moments[-1] + timedelta(hours=5 + index * 7 % 11))
    evaluation = KIND.evaluate(learned, of_dataset([update(moment) for moment in moments]), moments[-1])
    assert evaluation.next_at is not None
    assert timedelta(hours=15) < evaluation.next_at - moments[-1] < timedelta(hours=30)


def test_a_dataset_that_is_written_less_often_now_is_not_stale_each_time() -> None:
    """About hourly for a week, then once a day: three days are too long, and then known."""
    hourly = [update(at(0) + timedelta(minutes=60 * hour + 7 * (hour % 5))) for hour in range(168)]
    learned = replace(rule(KIND), declared=False)
    for days, is_stale in ((2, True), (4, False), (9, False)):
        daily = [update(at(7 + day, "06:13" if day % 2 else "09:40")) for day in range(days)]
        now = daily[-1].at + timedelta(hours=26)
        assert bool(KIND.evaluate(learned, of_dataset([*hourly, *daily]), now).violations) is is_stale, days
    gone = only(KIND.evaluate(learned, of_dataset([*hourly, *daily[:4]]), at(14)))
    assert "every 20h33m lately, at most 1d17h" in gone.summary


def test_a_limit_that_is_shorter_than_the_cadence_is_said_to_be() -> None:
    daily = of_dataset([update(at(day, "06:00")) for day in range(12)])
    assert KIND.describe(PAIR, daily).endswith(
        "New data usually comes every 1d, so that it is too old each time in between."
    )
    assert KIND.describe(rule(KIND, fail_after="26h"), daily).endswith("without new data.")


def test_a_warning_must_come_before_the_failure() -> None:
    with pytest.raises(ValidationError, match="must be less than fail_after"):
        FreshnessConfig.model_validate({"warn_after": "12h", "fail_after": "6h"})


def test_data_that_comes_a_few_minutes_early_is_not_expected_again_on_the_same_day() -> None:
    """Its usual time is 06:06, and on this day it came at 06:00."""
    learned = rule(KIND)
    snapshot = of_dataset([update(at(day, f"06:{day % 7 * 2:02}")) for day in range(22)])
    assert KIND.evaluate(learned, snapshot, at(21, "23:00")).violations == ()
    assert KIND.evaluate(learned, snapshot, at(21, "23:00")).next_at == at(22, "18:06")
