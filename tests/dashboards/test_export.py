"""Files for Grafana and Prometheus: what is written, and what is never overwritten."""

import json
import re
from pathlib import Path

import pytest
import yaml

from dashboards.export import NOTES, files, write
from dashboards.prometheus import RULES, scrape_config
from tests.dashboards.grafana_checks import labels_of
from watchtower.errors import UsageError


def wanted(folder: Path, url: str = "http://127.0.0.1:8642") -> dict[str, str]:
    return files(folder, source="Prometheus", url=url)


def test_everything_is_written_once_and_then_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = write(folder, wanted(folder))
    assert sorted(first.written) == sorted(wanted(folder))
    before = {name: (folder / name).stat().st_mtime_ns for name in first.written}
    second = write(folder, wanted(folder))
    assert second.written == ()
    assert {name: (folder / name).stat().st_mtime_ns for name in second.unchanged} == before


def test_what_an_earlier_export_wrote_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, wanted(tmp_path))
    done = write(tmp_path, wanted(tmp_path, "https://watchtower.example.org"))
    assert "prometheus/scrape.yml" in done.written
    assert "watchtower.example.org:443" in (tmp_path / "prometheus/scrape.yml").read_text()


def test_what_somebody_changed_stays_and_nothing_else_is_written(tmp_path: Path) -> None:
    write(tmp_path, wanted(tmp_path))
    changed = tmp_path / "prometheus" / "scrape.yml"
    changed.write_text("mine: true\n")
    with pytest.raises(UsageError, match=r"prometheus/scrape\.yml; nothing was written.*--force"):
        write(tmp_path, wanted(tmp_path, "https://watchtower.example.org"))
    assert changed.read_text() == "mine: true\n"
    assert "example.org" not in (tmp_path / "README.txt").read_text()
    write(tmp_path, wanted(tmp_path, "https://watchtower.example.org"), force=True)
    assert "example.org" in changed.read_text()


def test_files_of_unknown_origin_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("somebody's own\n")
    with pytest.raises(UsageError, match=r"README\.txt"):
        write(tmp_path, wanted(tmp_path))
    assert not (tmp_path / NOTES).exists()


def test_provisioning_leads_to_the_dashboards_and_names_the_source(tmp_path: Path) -> None:
    write(tmp_path, wanted(tmp_path))
    (provider,) = yaml.safe_load((tmp_path / "grafana/provisioning/dashboards/watchtower.yaml").read_text())[
        "providers"
    ]
    assert len(list(Path(provider["options"]["path"]).glob("*.json"))) == 4
    (source,) = yaml.safe_load((tmp_path / "grafana/provisioning/datasources/watchtower.yaml").read_text())[
        "datasources"
    ]
    fleet = json.loads((tmp_path / "grafana/dashboards/watchtower-fleet.json").read_text())
    assert fleet["templating"]["list"][0]["current"]["value"] == source["name"]


@pytest.mark.parametrize(
    ("url", "scheme", "path", "target"),
    [
        ("http://127.0.0.1:8642", "http", "/metrics", "127.0.0.1:8642"),
        ("https://watchtower.example.org", "https", "/metrics", "watchtower.example.org:443"),
        ("https://example.org/watchtower", "https", "/watchtower/metrics", "example.org:443"),
        ("http://[::1]:8642", "http", "/metrics", "[::1]:8642"),
    ],
)
def test_the_scrape_leads_to_where_watchtower_is_reached(url: str, scheme: str, path: str, target: str) -> None:
    (job,) = yaml.safe_load(scrape_config(url))["scrape_configs"]
    assert (job["scheme"], job["metrics_path"], job["static_configs"]) == (scheme, path, [{"targets": [target]}])
    assert job["honor_labels"] is True


def test_rules_name_metrics_and_labels_that_there_are_and_say_what_to_do() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket", "info")
        assert all(text.endswith(".") for text in rule["annotations"].values()), rule["alert"]
        for name, matchers in re.findall(r"\b(watchtower_\w+)\b(?:\{([^}]*)\})?", rule["expr"]):
            labels = labels_of(name)
            assert labels is not None, f"{rule['alert']}: {name}"
            assert set(re.findall(r"(\w+)(?:=|!)", matchers)) <= labels, rule["alert"]
        known = {"job", "instance"} | {
            label for name in re.findall(r"\bwatchtower_\w+", rule["expr"]) for label in labels_of(name) or ()
        }
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert used <= known, rule["alert"]
