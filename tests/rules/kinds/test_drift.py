"""drift: distributions by PSI and KS against chance, and a score against the one before."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds import drift
from rules.kinds.drift import Drift, DriftConfig, ks, psi
from tests.rules.telling import of_series, sample
from tests.rules.timeline import at, only, rule
from watchtower.config import examine, load_text
from watchtower.model.rule import Evaluation
from watchtower.model.series import SeriesKind

KIND = Drift()
NOW = at(2)


def evaluate(values: Sequence[float], **options: Any) -> Evaluation:
    """values: oldest first, a minute apart."""
    snapshot = of_series([sample(minute, value) for minute, value in enumerate(values)])
    return KIND.evaluate(rule(KIND, series="score", **options), snapshot, NOW)


def normal(seed: int, count: int, middle: float = 0.0) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.gauss(middle, 1) for _ in range(count)]


@pytest.mark.parametrize(("freedom", "published"), [(1, 10.828), (2, 13.816), (4, 18.467), (9, 27.877)])
def test_the_quantile_of_chance_is_that_of_the_tables(freedom: int, published: float) -> None:
    worked_out = drift._chi_square(freedom)  # pyright: ignore[reportPrivateUsage]
    assert published * 0.999 < worked_out < published * 1.05


def test_the_statistics_are_those_that_can_be_worked_out_by_hand() -> None:
    assert ks([1, 2, 3, 4], [3, 4, 5, 6])[0] == 0.5
    assert ks([1, 2], [1, 2])[0] == 0
    assert math.isclose(ks([0.0] * 100, [0.0] * 100)[1], 1.949 * (2 / 100) ** 0.5, rel_tol=0.001)
    # Shares with half a sample added: 70.5 and 50.5 of 101, 30.5 and 50.5 of 101.
    values, then = [0.0] * 70 + [1.0] * 30, [0.0] * 50 + [1.0] * 50
    assert math.isclose(psi(values, then)[0], 20 / 101 * (0.33363 + 0.50430), rel_tol=0.001)


@pytest.mark.parametrize("by", ["psi", "ks"])
def test_chance_alone_is_quiet_and_a_shift_is_told(by: str) -> None:
    assert sum(bool(evaluate(normal(seed, 250), by=by).violations) for seed in range(200)) <= 1
    found = only(evaluate([*normal(1, 200), *normal(2, 50, 1.5)], by=by))
    assert found.summary.startswith(
        f"score has drifted: {by.upper()} of its newest 50 samples against the 200 before is"
    )
    assert found.evidence["reference"] == 200
    assert found.evidence["median"] > 1 > found.evidence["reference_median"]


def test_a_constant_that_becomes_another_one_has_drifted() -> None:
    assert evaluate([0.5] * 200 + [0.9] * 50).violations
    assert not evaluate([0.5] * 250).violations


def test_it_waits_for_enough_samples_and_a_counter_has_no_distribution() -> None:
    assert evaluate([0.5] * 99).learning == "99 of 100 samples"
    counter = of_series([sample(minute, minute) for minute in range(200)], kind=SeriesKind.SUM)
    assert "counter" in (KIND.evaluate(rule(KIND, series="score"), counter, NOW).learning or "")


def test_a_score_is_held_against_the_one_before() -> None:
    assert not evaluate([0.95, 0.931], drop="2%").violations
    found = only(evaluate([0.95, 0.9309], drop="2%"))
    assert found.summary == "score fell from 0.95 to 0.9309, by 2.01 %, more than 2 % (orders_daily)"
    assert not evaluate([0.9, 0.95], drop="2%").violations
    assert only(evaluate([0.1, 0.12], rise="10%")).summary.startswith("score rose from 0.1 to 0.12, by 20 %")
    assert not evaluate([0.12, 0.1], rise="10%").violations
    assert evaluate([0, 0.1], rise="10%").violations
    assert evaluate([0.95], drop="2%").learning == "1 of 2 samples"


def test_a_sample_of_the_future_counts_when_its_moment_comes() -> None:
    snapshot = of_series([sample(0, 0.95), sample(10, 0.5)])
    early = KIND.evaluate(rule(KIND, series="score", drop="2%"), snapshot, at(0, "00:05"))
    assert (early.violations, early.next_at) == ((), at(0, "00:10"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"newest": 400, "reference": 200}, "500 are kept in view"),
        ({"drop": "2%", "by": "ks"}, "take by away"),
        ({"drop": "0%"}, "more than 0"),
        ({"series": "no name!"}, "no name of a series"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DriftConfig.model_validate({"series": "score", **options})


def test_what_is_expected_is_said() -> None:
    assert KIND.describe(rule(KIND, series="score", drop="2%")) == (
        "score must not be more than 2 % below its sample before."
    )
    assert "(PSI at most 0.2, or what chance gives)" in KIND.describe(rule(KIND, series="score"))


def test_what_moves_slowly_has_left_the_reference_that_stands_still(tmp_path: Path) -> None:
    """A hundredth of a deviation each sample: the newest 50 are like the 200 before them by halves only."""
    (tmp_path / "training.txt").write_text("score\n" + "\n".join(map(str, normal(5, 400))), encoding="utf-8")
    config = load_text(
        "rules:\n  - {alert: Shifted, kind: drift, series: score, reference_file: training.txt}\n", tmp_path
    )
    [fixed] = config.declared_rules
    still = [*normal(6, 60)]
    moved = [value + 1 for value in still]
    found = [KIND.evaluate(fixed, of_series([sample(minute, value) for minute, value in enumerate(values)]), NOW)
             for values in (still, moved, moved[:49])]  # fmt: skip
    assert not found[0].violations
    told = only(found[1])
    assert "against the 400 of training.txt is" in told.summary
    assert told.evidence["reference_file"] == "training.txt"
    assert found[2].learning == "49 of 50 samples"
    assert "distributed like those of training.txt" in KIND.describe(fixed)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file"),
        ("1\n2\n", "has 2 numbers"),
        ("1\n" * 60 + "x\n", "line 61: 'x' is no number"),
        ("1\n" * 60 + "nan\n", "line 61: 'nan' is no number"),
        (" " * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_a_reference_that_is_none_is_refused_at_load(text: str | None, told: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    found = examine("rules:\n  - {alert: S, kind: drift, series: score, reference_file: a.txt}\n", tmp_path).faults
    assert told in str(found[0])


def test_a_second_bad_model_is_news_where_several_are_the_yardstick() -> None:
    good = [0.93, 0.91, 0.92, 0.92, 0.93]
    assert not evaluate([*good, 0.80, 0.81], drop="2%").violations
    found = only(evaluate([*good, 0.80, 0.81], drop="2%", models=5))
    assert (
        found.summary
        == "score fell from 0.92, the median of the 5 before, to 0.81, by 12 %, more than 2 % (orders_daily)"
    )
    assert found.evidence["before"] == 0.92
    assert not evaluate([0.9, 0.92, 0.8918], drop="2%", models=2).violations  # 0.91 less two of a hundred, exactly
    assert evaluate([0.9, 0.92, 0.8917], drop="2%", models=2).violations


def test_what_says_nothing_together_is_refused() -> None:
    for options, told in (({"models": 5}, "add one of them"), ({"drop": "2%", "by": "ks"}, "take by away")):
        with pytest.raises(ValidationError, match=told):
            DriftConfig.model_validate({"series": "score", **options})
