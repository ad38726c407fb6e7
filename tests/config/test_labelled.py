"""Files of labelled incidents: both forms say the same, and what is wrong with one is told by line."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from watchtower.config.labelled import LabelledIncident, load_incidents
from watchtower.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples" / "incidents"


def test_both_examples_say_the_same() -> None:
    of_yaml, of_csv = (load_incidents(EXAMPLES / f"team.{form}") for form in ("yaml", "csv"))
    assert of_yaml == of_csv
    assert of_yaml[1] == LabelledIncident(
        "warehouse was paused",
        {"pipeline": "orders_daily"},
        datetime(2026, 3, 5, 5, tzinfo=UTC),
        datetime(2026, 3, 5, 8, 45, tzinfo=UTC),
    )


def test_the_example_of_the_page_is_one(tmp_path: Path) -> None:
    page = (EXAMPLES.parents[1] / "docs" / "backtest.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml incidents\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "incidents.yaml"
    file.write_text(block)
    assert load_incidents(file) == load_incidents(EXAMPLES / "team.yaml")[1:]


def test_a_moment_without_a_zone_is_utc_and_a_name_need_not_be_given(tmp_path: Path) -> None:
    file = tmp_path / "incidents.csv"
    file.write_text("pipeline,from,to\norders,2026-03-05 05:00,2026-03-05 06:00\n")
    [found] = load_incidents(file)
    assert (found.name, found.begins) == ("orders", datetime(2026, 3, 5, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("incidents:\n- {pipeline: a, from: 2026-03-05, to: 2026-03-04}\n", "incidents[0].to: lies before from"),
        ("incidents:\n- {pipeline: a, from: 2026-03-05}\n", "incidents[0].to: is missing"),
        ("incidents:\n- {pipeline: a, from: soon, to: 2026-03-04}\n", "incidents[0].from: 'soon' is no moment"),
        ("incidents:\n- {from: 2026-03-04, to: 2026-03-05}\n", "incidents[0]: says not what it was about"),
        ("incidents: []\n", "incidents: holds no incident"),
        ("incident: []\n", "incident: unknown key"),
        ("incidents: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "incidents.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_incidents(file)
    assert said in str(refused.value)
    assert "incidents.yaml" in str(refused.value)


def test_a_line_of_csv_is_named(tmp_path: Path) -> None:
    file = tmp_path / "incidents.csv"
    file.write_text("pipeline,from,to\na,2026-03-05,2026-03-06\nb,never,2026-03-06\n")
    with pytest.raises(ConfigError, match=r"incidents\.csv:3: incidents\[1\]\.from"):
        load_incidents(file)
