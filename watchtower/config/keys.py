"""The sections that a file may have, what each is for, and what is said of a key that is none."""

from collections.abc import Mapping
from typing import Any

from watchtower.config.document import placeholders
from watchtower.config.faults import Faults, close_to

# Every section that has an effect → what it is for.
SECTIONS: Mapping[str, str] = {
    "store": "where everything is kept: `sqlite:///FILE`, `postgresql://…`, `env:NAME`; default: the state directory",
    "server": "where Watchtower listens",
    "collectors": "how each kind of source is read, by the name of the collector",
    "jobs": "what is known of pipelines: schedules, limits, owners",
    "datasets": "what is known of datasets: how old they may be, owners",
    "ownership": "who owns what, by pattern",
    "rules": "what is wrong, and how grave that is",
    "calendars": "on which days business is done: weekdays and holidays, by name",
    "budgets": "what may be spent, and of which charges",
    "slos": "objectives and their error budgets: OpenSLO documents, or paths of files with some",
    "oncall": "people on call, who is told after whom, and how often",
    "severity_map": "words of other tools → `page`, `ticket` or `info`; `critical` and `warning` are known",
    "global": "defaults for receivers (Alertmanager)",
    "route": "who is told of which alert, and when (Alertmanager)",
    "receivers": "channels and ticket systems by name (Alertmanager)",
    "inhibit_rules": "alerts that keep others quiet (Alertmanager)",
    "time_intervals": "named times for routes (Alertmanager)",
    "maintenance": "planned times in which alerts are kept quiet",
    "flapping": "when an alert that comes and goes is told only once",
    "mute_time_intervals": "the older name of `time_intervals` (Alertmanager)",
    "templates": "accepted, not used: Go templates are not run (Alertmanager)",
    "scrub": "what is taken out of what comes in, besides secrets",
    "outbound": "which inner networks may be spoken to",
    "retention": "how long data is kept",
    "storage": "room that is kept on the disk of the store",
    "backup": "copies of the store that are made by themselves",
    "heartbeat": "an outside service that notices when Watchtower falls silent",
    "emergency": "who is told, and how, when Watchtower itself does not work: the keys of a receiver",
}
# Sections that are in the plan and that this release does not act on: accepted, named by a warning.
RESERVED = (
    "prices",
    "access",
)
KEYS = (*SECTIONS, *RESERVED)
OWN_KEYS = "x-"  # begins a section that is the writer's own: what aliases name, e.g. x-defaults: &defaults {…}
# Sections of other tools' files that are met when a whole file is pasted in.
_ELSEWHERE = {
    "scrape_configs": "it belongs into Prometheus' own file",
    "alerting": "it belongs into Prometheus' own file; point its alertmanagers at Watchtower",
    "groups": "rule groups belong into Prometheus' own files; its alerts can be sent to Watchtower",
    "tracing": "set OTEL_EXPORTER_OTLP_ENDPOINT instead",
}


def check_keys(data: dict[str, Any], faults: Faults) -> None:
    """What is no section, is of another tool, or has no effect yet."""
    for key, value in data.items():
        if key in RESERVED:
            faults.warn((key,), "is planned and has no effect in this release", "remove it, or keep it for later")
            if not isinstance(value, dict | list | None):
                faults.add((key,), "must be a mapping or a list")
        elif key in _ELSEWHERE:
            faults.add((key,), "is no section of this file", _ELSEWHERE[key])
        elif key not in KEYS and not key.startswith(OWN_KEYS):
            faults.add((key,), "unknown section", close_to(key, KEYS))
    if data.get("templates"):
        faults.warn(("templates",), "Go templates are not run", "the default texts are used")
    for path, variable in placeholders(data):
        remedy = f"write env:{variable} where a secret may stand; elsewhere write the value itself"
        faults.warn(path, f"${{{variable}}} is taken as it is written: no variable is filled in", remedy)
