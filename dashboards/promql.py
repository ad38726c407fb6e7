"""Expressions over Watchtower's own metrics, each name and label looked up in `telemetry.metrics` when it is built.

A metric that is renamed there breaks the building of a dashboard or a rule, not a panel at night.
"""

from collections.abc import Mapping, Sequence

from watchtower.telemetry.instruments import Metric
from watchtower.telemetry.metrics import declared

_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in declared()}
_SUFFIXES = ("_bucket", "_sum", "_count")
# Label → the dashboard variable that narrows it; `.*` stands for all, which an empty label matches too.
SCOPE: Mapping[str, str] = {"namespace": "$namespace", "team": "$team", "pipeline": "$pipeline"}


class Query:
    """Makes expressions within some of the dashboard variables. job: the variable that tells Watchtowers apart."""

    def __init__(self, *within: str) -> None:
        self._within = within

    def series(self, name: str, **matchers: str) -> str:
        """`name{…}`. matchers: label="value", or "~regex", "!~regex", "!=value"."""
        metric = _known(name)
        narrowed = {label: f"~{SCOPE[label]}" for label in self._within if label in metric.labels}
        unknown = matchers.keys() - {*metric.labels, "le"}
        if unknown:
            raise KeyError(f"{name} has no label {', '.join(sorted(unknown))}; it has {', '.join(metric.labels)}")
        written = [f'{label}{_matcher(value)}"' for label, value in {"job": "~$job", **narrowed, **matchers}.items()]
        return f"{name}{{{', '.join(written)}}}"

    def held(self, name: str, **matchers: str) -> str:
        """A metric that is read from the store: one value, however many replicas show it."""
        metric = _known(name)
        if not metric.stored:
            raise KeyError(f"{name} is not read from the store; replicas show values of their own")
        by = f" by ({', '.join(metric.labels)})" if metric.labels else ""
        return f"max{by} ({self.series(name, **matchers)})"

    def rate(self, name: str, by: Sequence[str] = (), **matchers: str) -> str:
        return _summed(by, f"rate({self.series(name, **matchers)}[$__rate_interval])")

    def increase(self, name: str, by: Sequence[str] = (), over: str = "$__rate_interval", **matchers: str) -> str:
        return _summed(by, f"increase({self.series(name, **matchers)}[{over}])")

    def mean(self, name: str, by: Sequence[str] = (), over: str = "$__rate_interval", **matchers: str) -> str:
        """Of a histogram; nothing where nothing was observed."""
        total = self.increase(f"{name}_sum", by, over, **matchers)
        return f"{total} / ({self.increase(f'{name}_count', by, over, **matchers)} > 0)"

    def quantile(
        self, share: float, name: str, by: Sequence[str] = (), over: str = "$__rate_interval", **matchers: str
    ) -> str:
        """Of a histogram."""
        return f"histogram_quantile({share:g}, {self.increase(f'{name}_bucket', ('le', *by), over, **matchers)})"


def or_zero(expression: str) -> str:
    """Nothing is none: without it a panel that should say 0 says `No data`."""
    return f"({expression}) or on () vector(0)"


def _known(name: str) -> Metric:
    if name in _METRICS:
        return _METRICS[name]
    for suffix in _SUFFIXES:
        metric = _METRICS.get(name.removesuffix(suffix))
        if metric is not None and metric.kind == "histogram":
            return metric
    raise KeyError(f"watchtower.telemetry has no metric {name}")


def _matcher(value: str) -> str:
    for operator in ("!~", "!=", "~"):
        if value.startswith(operator):
            return f'{"=~" if operator == "~" else operator}"{value.removeprefix(operator)}'
    return f'="{value}'


def _summed(by: Sequence[str], expression: str) -> str:
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum ({expression})"
