"""What set a run off: a dataset that was written, another run, or an event from elsewhere.

Several things may: a run can wait for five datasets. Two sources may tell of the same one, in other words and at other
times, so what a run has is the union of what was told, each origin once.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from watchtower.model.instants import from_micros, to_micros

DATASET, RUN, EVENT = "dataset", "run", "event"
MOST: Final = 20  # of one run
Stored = dict[str, Any]  # as it stands in the store: None is left out, at in microseconds


class Origin(msgspec.Struct, frozen=True):
    """kind: dataset, run or event. name and namespace: of the dataset; of the pipeline whose run it was; of an event
    its type and who sent it. job: who wrote the dataset, in the same place as the run that was set off. run: in which
    run of it, or which run it was, by its orchestrator's own id; of an event its id. at: when it happened."""

    kind: str
    name: str
    namespace: str | None = None
    job: str | None = None
    run: str | None = None
    at: datetime | None = None


def stored(origin: Origin) -> Stored:
    said = {name: getattr(origin, name) for name in origin.__struct_fields__ if name != "at"}
    at = {} if origin.at is None else {"at": to_micros(origin.at)}
    return {name: value for name, value in said.items() if value} | at


def from_stored(found: Mapping[str, Any]) -> Origin:
    said = {name: value for name, value in found.items() if name != "at"}
    return Origin(**said, at=from_micros(found["at"]) if "at" in found else None)


def union(*some: Iterable[Stored] | None) -> list[Stored] | None:
    """Each once, the newest MOST of them: the same for any order, and for any repetition. None if there is none."""
    known: dict[tuple[Any, ...], Stored] = {}
    for each in (one for part in some for one in part or ()):
        key = tuple(each.get(name) for name in _IDENT)
        known[key] = max(known.get(key, each), each, key=_order)
    return sorted(known.values(), key=_order)[-MOST:] or None


_IDENT: Final = ("kind", "name", "namespace", "job", "run")


def _order(one: Stored) -> tuple[int, bytes]:
    return int(one.get("at") or 0), msgspec.json.encode(one, order="sorted")


def origin_words(origin: Origin) -> str:
    """`orders_clean, written by load.write in run r1`; `run r1 of load`; `order.created 4711 of shop`."""
    run = f" {origin.run}" if origin.run else ""
    if origin.kind == RUN:
        return f"run{run} of {origin.name}"
    if origin.kind == EVENT:
        return f"{origin.name}{run}{f' of {origin.namespace}' if origin.namespace else ''}"
    return f"{origin.name}, written by {origin.job}{f' in run{run}' if run else ''}" if origin.job else origin.name
