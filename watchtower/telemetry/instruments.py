"""How metrics are declared and counted: those of this process, and those that are read from the store at a scrape."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client import Metric as PrometheusMetric
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry(auto_describe=True)


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as it is scraped; kind: counter, gauge or histogram. stored: read from the store at a scrape, so that
    replicas show the same value; others are of the process that is scraped."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    stored: bool = False


DECLARED: list[Metric] = []


def counter(name: str, text: str, *labels: str) -> Counter:
    DECLARED.append(Metric(name, "counter", text, labels))
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, *labels: str) -> Gauge:
    DECLARED.append(Metric(name, "gauge", text, labels))
    return Gauge(name, text, labels, registry=REGISTRY)


def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    DECLARED.append(Metric(name, "histogram", text, labels))
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


class Tally:
    """What one thread counts for a counter with its labels set, as a plain number: added to the counter at each scrape.
    A counter of prometheus-client takes a lock and costs as much as parsing a header, and each request has several."""

    __slots__ = ("_counter", "_told", "_total")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._total = self._told = 0
        _TALLIES.append(self)

    def inc(self, amount: int = 1) -> None:
        self._total += amount

    def tell(self) -> None:
        """In the thread of a scrape."""
        with _TELLING:
            total = self._total
            self._counter.inc(total - self._told)
            self._told = total


_TALLIES: list[Tally] = []
_TELLING = threading.Lock()


class _Teller(Collector):
    """Has no metrics of its own. Registered before all that have: a scrape asks collectors in that order."""

    def collect(self) -> Iterable[PrometheusMetric]:
        for tally in _TALLIES:
            tally.tell()
        return ()


@cache
def tally(counter: Counter, *labels: str) -> Tally:
    """The one tally of counter with these labels, in the order of its label names."""
    return Tally(counter.labels(*labels))


REGISTRY.register(_Teller())
ProcessCollector(registry=REGISTRY)  # process_cpu_seconds_total, process_resident_memory_bytes, …
prometheus_client.disable_created_metrics()  # they double the series and nobody asks for them


def stored(name: str, text: str, *labels: str, kind: str = "gauge") -> Metric:
    DECLARED.append(Metric(name, kind, text, labels, stored=True))
    return DECLARED[-1]
