"""volume: what is too little, measured against the writer's own past, and what says nothing."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds.volume import Volume, VolumeConfig
from tests.rules.timeline import PIPELINE, TABLE, at, job, of_dataset, only, rule, update
from watchtower.model.run import DatasetUpdate

KIND = Volume()
LEARNED = rule(KIND)
USUAL = (6_800, 7_000, 6_600, 6_900, 7_100, 6_750, 6_850, 7_050, 6_950, 6_700, 6_820, 6_980)


def writings(volumes: Sequence[int | None], **said: Any) -> list[DatasetUpdate]:
    """One a day."""
    return [update(at(day, "06:00"), row_count=rows, **said) for day, rows in enumerate(volumes)]


def broken(volumes: Sequence[int | None], **options: Any) -> bool:
    found = KIND.evaluate(rule(KIND, **options), of_dataset(writings(volumes)), at(60))
    return bool(found.violations)


def test_unusually_few_rows_say_how_many_there_usually_are() -> None:
    found = only(KIND.evaluate(LEARNED, of_dataset(writings([*USUAL, 310])), at(20)))
    assert found.summary == (
        "shop.public.orders was written with 310 rows, fewer than 4,437 (usually 6,875, from 12 writings)"
    )
    assert found.since == at(12, "06:00")
    assert found.evidence["writer"] == "orders_daily"
    assert found.evidence["run_id"] == "r140600"
    assert (found.evidence["rows"], found.evidence["usual_median"], found.value) == (310, 6_875, 310)


def test_the_next_usual_writing_ends_it_and_is_named() -> None:
    found = KIND.evaluate(LEARNED, of_dataset(writings([*USUAL, 310, 6_900])), at(20))
    assert not found.violations
    assert found.resolution == {"run_id": "r150600", "updated_at": "2026-03-15T06:00:00Z", "rows": 6_900}


@pytest.mark.parametrize("volume", [4_437, 5_500, 20_000])
def test_what_is_within_reach_of_the_usual_is_quiet(volume: int) -> None:
    assert not broken([*USUAL, volume])


def test_a_very_steady_dataset_may_still_change_by_a_fifth() -> None:
    assert not broken([*([1_000] * 20), 667])
    assert broken([*([1_000] * 20), 666])


def test_a_very_noisy_dataset_alerts_only_when_nothing_comes() -> None:
    noisy = [10, 4_000, 90, 15_000, 700, 2, 900, 8_000, 33, 12_000, 5, 600]
    assert not broken([*noisy, 1])
    assert broken([*noisy, 0])


def test_nothing_is_wrong_with_nothing_where_that_was_usual() -> None:
    assert not broken([0, 5, 0, 8, 0, 0, 12, 0, 3, 0, 0, 0])


def test_zero_rows_are_worded_as_none() -> None:
    found = only(KIND.evaluate(LEARNED, of_dataset(writings([*USUAL, 0])), at(20)))
    assert found.summary.startswith("shop.public.orders was written with no rows, at least 4,437 must come (usually ")


def test_it_learns_ten_writings_whose_volume_is_known() -> None:
    found = KIND.evaluate(LEARNED, of_dataset(writings([*([6_800, None] * 9), 5])), at(60))
    assert found.learning == "9 of 10 writings"
    assert KIND.evaluate(LEARNED, of_dataset(writings([None] * 9)), at(60)).learning == "its rows were never told"


def test_each_writer_is_measured_against_its_own_past() -> None:
    nightly = writings(USUAL)
    hourly = [
        update(at(11, f"{hour:02}:30"), row_count=50 + hour, job_id="hourly", run_id=f"h{hour}") for hour in range(24)
    ]
    assert not KIND.evaluate(LEARNED, of_dataset([*nightly, *hourly]), at(60)).violations
    small = update(at(12, "06:00"), row_count=60)
    found = only(KIND.evaluate(LEARNED, of_dataset([*nightly, *hourly, small]), at(60)))
    assert found.evidence["writer"] == job().ref.name == PIPELINE.name


def test_backfills_neither_teach_nor_alert() -> None:
    backfill = update(at(12, "06:00"), row_count=1, backfill=True, historical=True)
    assert not KIND.evaluate(LEARNED, of_dataset([*writings(USUAL), backfill]), at(60)).violations
    taught = [update(at(day, "07:00"), row_count=1, backfill=True, historical=True) for day in range(40)]
    small = update(at(41), row_count=310)
    assert KIND.evaluate(LEARNED, of_dataset([*writings(USUAL), *taught, small]), at(60)).violations


def test_a_replayed_writing_is_shown_and_pages_nobody() -> None:
    replayed = update(at(12, "06:00"), row_count=310, historical=True)
    assert only(KIND.evaluate(LEARNED, of_dataset([*writings(USUAL), replayed]), at(60))).historical


@pytest.mark.parametrize(("volume", "wrong"), [(999, True), (1_000, False), (5_000, False), (5_001, True)])
def test_declared_limits_are_silent_at_the_limit_itself_and_need_no_past(volume: int, wrong: bool) -> None:
    assert broken([volume], min=1_000, max=5_000) is wrong


def test_spikes_are_told_only_where_they_are_asked_for() -> None:
    assert not broken([*USUAL, 90_000])
    assert broken([*USUAL, 90_000], spikes=True)


@pytest.mark.parametrize(("of", "field"), [("bytes", "size_bytes"), ("files", "file_count")])
def test_bytes_and_files_are_counted_alike(of: str, field: str) -> None:
    counted = rule(KIND, of=of, min=10)
    found = only(KIND.evaluate(counted, of_dataset([update(at(0), row_count=50, **{field: 3})]), at(1)))
    assert found.summary == f"shop.public.orders was written with 3 {of}, fewer than 10"


def test_what_it_expects_is_said_in_numbers() -> None:
    assert KIND.describe(rule(KIND, min=1_000)) == "each matching subject: each writing must bring at least 1,000 rows."
    assert KIND.describe(LEARNED, of_dataset(writings(USUAL))) == (
        f"{TABLE.name}: a writing must bring at least 4,437 rows (usually 6,875, from 12 writings)."
    )
    assert "is being learned" in KIND.describe(LEARNED, of_dataset(writings([1, 2])))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"min": 5, "max": 2}, r"min \(5\) is more than max \(2\)"),
        ({"min": 5, "spikes": True}, "spikes is about what is learned"),
        ({"min": -1}, "greater than or equal to 0"),
        ({"max": float("nan")}, "finite number"),
        ({"of": "pages"}, "'rows', 'bytes' or 'files'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        VolumeConfig(**options)


def test_so_many_writings_in_a_row_open_it_and_so_many_end_it() -> None:
    limits: dict[str, Any] = {"min": 100, "fail_after": 2, "recover_after": 2}
    assert not broken([500, 50], **limits)
    assert broken([500, 50, 60], **limits)
    assert broken([500, 50, 60, 500], **limits)
    assert not broken([500, 50, 60, 500, 500], **limits)
    assert broken([50, 60, 500, 70, 500], **limits)
    found = only(KIND.evaluate(rule(KIND, **limits), of_dataset(writings([50, 60, 500])), at(60)))
    assert found.value == 60
    assert broken([*USUAL, 310, 6_900], recover_after=2)
    assert not broken([*USUAL, 310, 6_900, 6_950], recover_after=2)
