"""Airflow tells each metric twice: with tags, and once more with their values inside its name. The second is dropped.

`airflow.ti.finish{dag_id, task_id, state}` is also `airflow.ti.finish.<dag>.<task>.<state>`, `airflow.task.duration` is
also `airflow.dag.<dag>.<task>.duration` (Airflow 3.3). A name with values in it would be a series of its own for each
task. Only a name whose tagged twin came in the same request is dropped.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, permutations
from typing import Final

PREFIX: Final = "airflow."
_MAX_VALUES: Final = 3  # of one point that its name may hold; Airflow puts dag, task and state there
_MAX_ATTRIBUTES: Final = 8  # of one point that is looked at; Airflow has four at most
_MAX_INSERTIONS: Final = 200_000  # of one request: what is beyond them costs series, not the time of others
_NOT_WORD: Final = re.compile(r"[^a-z0-9]+")
# What of a tagged name is called otherwise in its twin: `dag.<dag>.<task>.duration`.
_OTHERWISE: Final = {"airflow.dag": "airflow.task"}

Tagged = Mapping[str, Sequence[Sequence[str]]]  # metric → the values of the attributes of each of its points


def legacy_names(metrics: Tagged) -> frozenset[str]:
    """Those among metrics that repeat another one of them."""
    ours = {name: values for name, values in metrics.items() if name.startswith(PREFIX)}
    insertions: dict[str, frozenset[str]] = {}
    left = _MAX_INSERTIONS
    for name, points in ours.items():
        insertions[name] = frozenset(islice(_insertions(points), left))
        left -= len(insertions[name])
    return frozenset(name for name in ours if _is_twin(name, insertions))


def _is_twin(name: str, insertions: Mapping[str, frozenset[str]]) -> bool:
    return any(
        inserted in insertions[tagged] for tagged, inserted in _splits(name) if tagged != name and tagged in insertions
    )


def _splits(name: str) -> Iterable[tuple[str, str]]:
    """How name may have been made: (the tagged name, what stands in its twin besides, squeezed)."""
    words = name.split(".")
    for start in range(2, len(words) + 1):
        head = ".".join(words[:start])
        yield head, _squeezed(".".join(words[start:]))
        for end in range(start + 1, len(words)):
            tail = ".".join(words[end:])
            inside = _squeezed(".".join(words[start:end]))
            yield f"{head}.{tail}", inside
            yield f"{_OTHERWISE.get(head, head)}.{tail}", inside
    for place, char in enumerate(name):
        if char == "_":  # operator_successes_<operator>
            yield name[:place], _squeezed(name[place:])


def _insertions(points: Sequence[Sequence[str]]) -> Iterator[str]:
    """Every row of some values of a point, squeezed."""
    for values in {tuple(sorted(point)) for point in points if len(point) <= _MAX_ATTRIBUTES}:
        texts = [text for value in values if (text := _squeezed(value))]
        for count in range(1, min(len(texts), _MAX_VALUES) + 1):
            yield from ("".join(some) for some in permutations(texts, count))


def _squeezed(text: str) -> str:
    """Airflow rewrites what it puts into a name: dots, dashes, capitals."""
    return _NOT_WORD.sub("", text.lower())
