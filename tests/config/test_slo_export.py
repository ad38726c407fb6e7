"""What is exported is OpenSLO v1, by the text of its specification, and read back as the very SLO it was."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.test_slos import WHOLE, load, slo
from watchtower.config import load_text
from watchtower.config.slo_export import document
from watchtower.model.alert import Severity
from watchtower.model.cost import CostMetric, CostScope
from watchtower.model.labels import Matcher
from watchtower.model.slo import Budgeting, Condition, Indicator, Objective, Period, Sli, Slo
from watchtower.model.spent import Asked, Per

MATCH = (Matcher("pipeline", "=~", "orders_.*"), Matcher("namespace", "=", "prod"))
RUNS = Indicator("runs", Sli.SUCCESS, MATCH)


def read_back(one: Slo) -> Slo:
    text = yaml.safe_dump({"slos": [document(one)]}, sort_keys=False)
    (found,) = load_text(text).slos
    return found


def test_the_file_of_the_tests_is_written_as_it_was_read() -> None:
    (one,) = load_text(WHOLE).slos
    assert read_back(one) == one
    assert document(one)["spec"]["timeWindow"] == [
        {
            "duration": "1M",
            "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"},
            "isRolling": False,
        }
    ]


_TARGETS = st.decimals(0, Decimal("0.99999"), places=5)
_NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
_INDICATORS = st.one_of(
    st.just(RUNS),
    st.builds(
        Indicator,
        st.just("in-time"),
        st.just(Sli.LATENCY),
        st.just(MATCH),
        st.sampled_from(["lte", "lt"]),
        st.integers(1, 90_000).map(float),
    ),
    st.builds(
        Indicator,
        st.just("gb-cost"),
        st.just(Sli.UNIT_COST),
        st.just((Matcher("pipeline", "=", "orders"),)),
        st.just("lte"),
        st.just(0.03),
        asked=st.builds(
            Asked,
            st.sampled_from([CostScope({"Pipeline": "orders"}), CostScope(service="S3", account="1", source="aws")]),
            st.sampled_from(CostMetric),
            st.sampled_from(Per),
        ),
    ),
    st.just(Indicator("by-seven", Sli.LATENCY, MATCH, finish_by="07:00", zone="Europe/Berlin")),
)
_PERIODS = st.one_of(
    st.builds(Period, st.integers(1, 52), st.just("d")),
    st.builds(Period, st.just(1), st.sampled_from("dwMQY"), st.just("Asia/Kathmandu"), st.just(datetime(2026, 1, 1))),  # noqa: DTZ001
)
_CONDITIONS = st.one_of(
    st.none(),
    st.lists(
        st.builds(
            Condition,
            _NAMES,
            st.sampled_from(Severity),
            st.decimals(Decimal("0.1"), 50, places=2),
            st.just(21_600.0),
            st.just(1_800.0),
            st.sampled_from(["", "call somebody"]),
        ),
        max_size=3,
    ).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(_NAMES, _PERIODS, st.lists(st.tuples(_TARGETS, _INDICATORS), min_size=1, max_size=3), _CONDITIONS)
def test_what_is_written_is_read_back_as_the_same(name: str, period: Period, parts: list[Any], conditions: Any) -> None:
    objectives = tuple(
        Objective(target, indicator, Decimal(2) if len(parts) > 1 else Decimal(1)) for target, indicator in parts
    )
    one = Slo(name, period, objectives, service="shop", labels={"tier": "gold"}, conditions=conditions)
    assert read_back(one) == one


@pytest.mark.parametrize("budgeting", [Budgeting.TIMESLICES, Budgeting.RATIO_TIMESLICES])
def test_slices_are_read_back_as_the_same(budgeting: Budgeting) -> None:
    share = Decimal("0.95") if budgeting is Budgeting.TIMESLICES else Decimal(1)
    objective = Objective(Decimal("0.99"), RUNS, slice_minutes=90, slice_target=share)
    one = Slo("slices", Period(30, "d"), (objective,), budgeting, service="shop")
    assert read_back(one) == one


def test_it_is_what_the_specification_says() -> None:
    """OpenSLO v1, "Object Types": which keys are there, which of them must be, and of what form."""
    (whole,) = load_text(WHOLE).slos
    for one in (whole, load(slo()).slos[0]):
        made = document(one)
        assert (made["apiVersion"], made["kind"]) == ("openslo/v1", "SLO")
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", made["metadata"]["name"])
        spec = made["spec"]
        assert {"service", "timeWindow", "budgetingMethod", "objectives"} <= spec.keys()
        assert ("indicator" in spec) != any("indicator" in each for each in spec["objectives"])
        (window,) = spec["timeWindow"]
        assert re.fullmatch(r"[1-9]\d*[mhdwMQY]", window["duration"])
        assert window["isRolling"] == ("calendar" not in window)
        for objective in spec["objectives"]:
            assert 0 <= objective["target"] < 1
            assert ("op" in objective) == ("value" in objective)
        metric = spec["indicator"]["spec"]
        assert ("thresholdMetric" in metric) != ("ratioMetric" in metric)
        for policy in spec.get("alertPolicies", ()):
            (condition,) = policy["spec"]["conditions"]
            burn = condition["spec"]["condition"]
            assert {"kind", "op", "threshold", "lookbackWindow", "alertAfter"} == burn.keys()
            assert burn["op"] in ("lte", "gte", "lt", "gt")
