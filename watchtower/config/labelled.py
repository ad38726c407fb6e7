"""Incidents that somebody wrote down: what really was wrong, and when, as a backtest is judged by.

YAML (`incidents: [{pipeline: …, from: …, to: …}]`) or CSV with a line of names; every key or column but `from`, `to`
and `name` is a label of the alerts that tell of it. It is refused with every fault at its line.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchtower.config import document as documents
from watchtower.config.faults import Faults, close_to
from watchtower.errors import ConfigError, Fault
from watchtower.model.labels import Labels

# Labels that an alert can bear by Watchtower itself; rules add others, which cannot be checked here.
_TIMES = ("from", "to")
_OWN = (*_TIMES, "name")
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class LabelledIncident:
    """labels: all that an alert about it bears, at least one. begins, ends: aware UTC, both inclusive."""

    name: str
    labels: Labels
    begins: datetime
    ends: datetime


def load_incidents(path: Path) -> tuple[LabelledIncident, ...]:
    """Raises ConfigError with every fault of the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError([Fault("", f"cannot be read: {why}", file=str(path))]) from error
    document = _of_csv(text) if path.suffix.lower() == ".csv" else documents.read(text, str(path))
    faults = Faults(document, str(path))
    for key in document.data:
        if key != "incidents":
            faults.add((key,), "unknown key", close_to(key, ["incidents"]))
    items = faults.listed(document.data.get("incidents"), ("incidents",))
    found = [_incident(faults.mapping(item, ("incidents", n)), n, faults) for n, item in enumerate(items)]
    if not items and not faults.found:
        faults.add(("incidents",), "holds no incident", "write e.g. - {pipeline: orders, from: …, to: …}")
    if faults.found:
        raise ConfigError(faults.found)
    return tuple(each for each in found if each is not None)


def _of_csv(text: str) -> documents.Document:
    """As if it were YAML; the line of each incident is that of the file, if no field has line breaks."""
    rows = [
        {name: value for name, value in row.items() if name and value}
        for row in csv.DictReader(io.StringIO(text), skipinitialspace=True)
    ]
    lines: dict[documents.Path, int] = {("incidents", number): number + 2 for number in range(len(rows))}
    return documents.Document({"incidents": rows}, lines)


def _incident(given: dict[str, Any], number: int, faults: Faults) -> LabelledIncident | None:
    path = ("incidents", number)
    begins, ends = (_moment(given.get(key), (*path, key), faults) for key in _TIMES)
    labels = {name: str(value) for name, value in given.items() if name not in _OWN and value is not None}
    if not labels:
        faults.add(path, "says not what it was about", "name a label of its alerts, e.g. pipeline: orders")
    if begins is None or ends is None:
        return None
    if ends < begins:
        faults.add((*path, "to"), "lies before from", "write when it began, and when it was over")
    name = str(given.get("name") or " ".join(labels.values()))
    return LabelledIncident(name, labels, begins, ends)


def _moment(value: Any, path: documents.Path, faults: Faults) -> datetime | None:
    if value is None:
        faults.add(path, "is missing", "write e.g. 2026-03-01T06:00:00Z")
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        faults.add(path, f"{value!r} is no moment", "write e.g. 2026-03-01T06:00:00Z")
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
