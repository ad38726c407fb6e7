"""Names that were really heard of, against which those of a configuration are held."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heard:
    """jobs: (pipeline, task or "", namespace, source); datasets: (name, namespace); series: names. What only a
    configuration names is not among them."""

    jobs: frozenset[tuple[str, str, str, str]]
    datasets: frozenset[tuple[str, str]]
    series: frozenset[str]
