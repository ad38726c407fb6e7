"""Dashboards for Grafana: held against Grafana's published schema, and against what a linter would find.

The schema is not part of the project; where `shared/specs/grafana` stands beside the checkout it is used.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.models import dashboard as sdk
from jsonschema import Draft7Validator

from dashboards.export import files
from dashboards.promql import Query
from tests.dashboards.grafana_checks import faults, labels_of, panels

SPECIFICATIONS = Path(__file__).parents[3] / "shared" / "specs" / "grafana"
NAMES = ("fleet", "pipeline", "cost", "slos")
FOLDER = Path("/srv/watchtower")


@pytest.fixture(scope="module")
def exported() -> dict[str, str]:
    return files(FOLDER, source="Prometheus", url="https://watchtower.example.org")


def of(exported: dict[str, str], name: str) -> Any:
    return json.loads(exported[f"grafana/dashboards/watchtower-{name}.json"])


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_keeps_what_a_linter_asks_for(exported: dict[str, str], name: str) -> None:
    assert faults(of(exported, name)) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(not SPECIFICATIONS.exists(), reason="Grafana's schemas are not beside this checkout")
def test_a_dashboard_is_valid_by_grafanas_schema(exported: dict[str, str], name: str) -> None:
    document = of(exported, name)
    assert errors("dashboard", "Dashboard", document) == []
    for panel in panels(document):
        assert errors("dashboard", "Panel", panel) == [], panel["title"]
        kind, custom = panel["type"].replace("-", ""), panel["fieldConfig"]["defaults"].get("custom")
        assert errors(kind, "Options", panel["options"]) == [], panel["title"]
        assert custom is None or errors(kind, "FieldConfig", custom) == [], panel["title"]
        for target in panel["targets"]:
            assert errors("prometheus", "Dataquery", target) == [], panel["title"]


@pytest.mark.skipif(not SPECIFICATIONS.exists(), reason="Grafana's schemas are not beside this checkout")
def test_the_schema_finds_what_it_is_for(exported: dict[str, str]) -> None:
    document = of(exported, "fleet")
    assert errors("dashboard", "Dashboard", {**document, "refresh": 5})
    assert errors("dashboard", "Dashboard", {**document, "colour": "red"})
    assert errors("timeseries", "FieldConfig", {"drawStyle": "lines"})
    assert errors("stat", "Options", {"colorMode": "loud"})


def errors(kind: str, definition: str, value: Any) -> list[str]:
    """What the definition in Grafana's schema of kind finds wrong; nothing where it has no such definition."""
    schema: Any = json.loads((SPECIFICATIONS / f"{kind}.jsonschema.json").read_text())
    if definition not in schema["definitions"]:
        return []
    # It writes what may be anything as an object; a matcher by name and an overriding unit are texts in every Grafana.
    for holder, key in (("MatcherConfig", "options"), ("DynamicConfigValue", "value")):
        if holder in schema["definitions"]:
            schema["definitions"][holder]["properties"][key] = {}
    validator: Any = Draft7Validator({**schema, "$ref": f"#/definitions/{definition}"})
    return [error.message for error in validator.iter_errors(value)]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_sdk_reads_back_is_what_it_wrote(exported: dict[str, str], name: str) -> None:
    document = of(exported, name)
    assert sdk.Dashboard.from_json(document).uid == f"watchtower-{name}"
    assert len(sdk.Dashboard.from_json(document).panels or ()) == len(document["panels"])


def test_an_export_is_the_same_each_time(exported: dict[str, str]) -> None:
    assert files(FOLDER, source="Prometheus", url="https://watchtower.example.org") == exported


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_dashboards_that_are_there_and_to_watchtower(exported: dict[str, str], name: str) -> None:
    document = of(exported, name)
    text = json.dumps(document)
    uids = {of(exported, each)["uid"] for each in NAMES}
    assert set(re.findall(r"/d/([\w-]+)", text)) <= uids
    assert len(document["links"]) == 3
    assert document["links"][0]["url"] == "https://watchtower.example.org/"
    for variable in set(re.findall(r"\$\{?(\w+)", text)) - {"__all", "__data", "__rate_interval", "__range"}:
        assert variable in {each["name"] for each in document["templating"]["list"]}, variable


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ('rate(watchtower_spool_bytes{job=~"$job"}[5m])', "rate over 5m"),
        ('watchtower_gone{job=~"$job"}', "no metric watchtower_gone"),
        ("watchtower_spool_bytes", "not narrowed to the job"),
    ],
)
def test_the_checks_find_what_is_wrong_with_an_expression(exported: dict[str, str], expr: str, fault: str) -> None:
    document = of(exported, "fleet")
    document["panels"][1]["targets"][0]["expr"] = expr
    assert any(fault in found for found in faults(document))


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("description", "", "lacks its title or description"),
        ("fieldConfig", {"defaults": {}}, "has no unit"),
        ("id", 3, "two panels have one id"),
        ("gridPos", {"x": 4, "y": 1, "w": 4, "h": 4}, "lies over"),
        ("gridPos", {"x": 22, "y": 1, "w": 4, "h": 4}, "right edge"),
        ("datasource", {"type": "prometheus", "uid": "mine"}, "asks another data source"),
    ],
)
def test_the_checks_find_what_is_wrong_with_a_panel(exported: dict[str, str], key: str, value: Any, fault: str) -> None:
    document = of(exported, "fleet")
    document["panels"][1][key] = value
    assert any(fault in found for found in faults(document)), faults(document)


def test_an_expression_over_what_does_not_exist_is_not_built() -> None:
    with pytest.raises(KeyError, match="no metric watchtower_gone"):
        Query().series("watchtower_gone")
    with pytest.raises(KeyError, match="no label colour"):
        Query().series("watchtower_alerts", colour="red")
    with pytest.raises(KeyError, match="not read from the store"):
        Query().held("watchtower_spool_bytes")


def test_names_of_histograms_are_known_with_their_suffixes() -> None:
    assert "severity" in (labels_of("watchtower_incident_resolve_seconds_bucket") or ())
    assert labels_of("watchtower_gone_count") is None
