"""`watchtower dashboards export`: dashboards, provisioning, scrape configuration and rules as files in one folder.

What is written is noted by its digest, so that the next export replaces what it wrote itself and nothing that somebody
has changed since.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from dashboards.prometheus import RULES, SCRAPE_EVERY, TOKEN_FILE, scrape_config
from watchtower.errors import UsageError

NOTES = ".watchtower-export.json"
PROMETHEUS = "http://127.0.0.1:9090"

_README = """\
Grafana and Prometheus for Watchtower at {url}

1. Make a token for Prometheus, and give it to it:
     watchtower token create prometheus --scope metrics > {token}
2. Scrape Watchtower, and watch it: paste {folder}/prometheus/scrape.yml into prometheus.yml,
   name {folder}/prometheus/rules/*.yml under `rule_files`, then:
     promtool check config /etc/prometheus/prometheus.yml && systemctl reload prometheus
3. Show the dashboards in Grafana, with {prometheus} as their data source (it stands in
   {folder}/grafana/provisioning/datasources/watchtower.yaml):
     cp -r {folder}/grafana/provisioning/. /etc/grafana/provisioning/ && systemctl restart grafana-server

Grafana reads the dashboards where they are now; it must be allowed to read that folder. After an update of Watchtower,
export again: files that you have changed are not overwritten unless you say --force.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """Relative paths. unchanged: there already, word for word."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]


def files(folder: Path, *, source: str, url: str) -> dict[str, str]:
    """Relative path → text. folder: where they will lie; source: name of the data source; url: of Watchtower."""
    from dashboards.grafana.cost import cost  # noqa: PLC0415 - the SDK takes as long to import as all of the rest
    from dashboards.grafana.fleet import fleet  # noqa: PLC0415
    from dashboards.grafana.panels import to_json  # noqa: PLC0415
    from dashboards.grafana.pipeline import pipeline  # noqa: PLC0415
    from dashboards.grafana.slos import slos  # noqa: PLC0415

    made = {
        f"grafana/dashboards/watchtower-{name}.json": to_json(build(source, url))
        for name, build in (("fleet", fleet), ("pipeline", pipeline), ("cost", cost), ("slos", slos))
    }
    return made | {
        "grafana/provisioning/datasources/watchtower.yaml": _datasource(source),
        "grafana/provisioning/dashboards/watchtower.yaml": _provider(folder / "grafana" / "dashboards"),
        "prometheus/scrape.yml": scrape_config(url),
        f"prometheus/rules/{RULES.name}": RULES.read_text(encoding="utf-8"),
        "README.txt": _README.format(url=url, folder=folder, token=TOKEN_FILE, prometheus=PROMETHEUS),
    }


def write(folder: Path, wanted: Mapping[str, str], *, force: bool = False) -> Exported:
    """All of them or none. Raises UsageError that names the files somebody has changed, unless force."""
    noted = _noted(folder)
    standing = {name: _digest(folder / name) for name in wanted}
    unchanged = tuple(name for name, text in wanted.items() if standing[name] == _digest_of(text))
    foreign = [
        name
        for name in wanted
        if standing[name] is not None and name not in unchanged and standing[name] != noted.get(name)
    ]
    if foreign and not force:
        raise UsageError(
            f"{folder}: changed since they were exported, or not from an export: {', '.join(foreign)}; "
            "nothing was written. Export into another folder, or overwrite them with --force"
        )
    written = tuple(name for name in wanted if name not in unchanged)
    for name in written:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted[name], encoding="utf-8")
    if written:
        notes = json.dumps({name: _digest_of(text) for name, text in wanted.items()}, indent=2, sort_keys=True)
        (folder / NOTES).write_text(notes + "\n", encoding="utf-8")
    return Exported(written, unchanged)


def _datasource(name: str) -> str:
    entry = {
        "name": name,
        "type": "prometheus",
        "access": "proxy",
        "url": PROMETHEUS,
        "jsonData": {"httpMethod": "POST", "timeInterval": SCRAPE_EVERY},
    }
    return yaml.safe_dump({"apiVersion": 1, "datasources": [entry]}, sort_keys=False)


def _provider(dashboards: Path) -> str:
    entry = {
        "name": "watchtower",
        "folder": "Watchtower",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": str(dashboards)},
    }
    return yaml.safe_dump({"apiVersion": 1, "providers": [entry]}, sort_keys=False)


def _noted(folder: Path) -> dict[str, str]:
    try:
        return json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:  # somebody edited it: nothing is known to be ours
        return {}


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
