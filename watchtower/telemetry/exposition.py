"""Metrics as a scrape reads them: those of this process, and those that were read from the store."""

from collections.abc import Iterator, Sequence

from prometheus_client import exposition

from watchtower.telemetry.instruments import REGISTRY, Metric
from watchtower.telemetry.metrics import STATE_OK, STATE_SECONDS

_EOF = b"# EOF\n"


class Samples:
    """Values of stored metrics, each as it was read."""

    def __init__(self) -> None:
        self._values: dict[Metric, list[tuple[tuple[str, ...], float]]] = {}

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """labels: values, in the order of the metric's labels."""
        self._values.setdefault(metric, []).append((labels, value))

    def extend(self, others: "Samples") -> None:
        for metric, values in others._values.items():
            self._values.setdefault(metric, []).extend(values)

    def items(self) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
        for metric, values in self._values.items():
            for labels, value in values:
                yield metric, labels, value

    def of_team(self, team: str) -> "Samples":
        """Only what belongs to team; what belongs to none is left out."""
        own = Samples()
        for metric, values in self._values.items():
            if metric is STATE_OK or metric is STATE_SECONDS:
                own._values[metric] = values
            if "team" in metric.labels:
                place = metric.labels.index("team")
                own._values[metric] = [(labels, value) for labels, value in values if labels[place] == team]
        return own

    def text(self, *, openmetrics: bool) -> str:
        """The client's own encoder takes ten times as long, and holds up whoever is waiting for an answer meanwhile."""
        shown: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}  # of one pipeline for all of its metrics
        lines: list[str] = []
        for metric, values in self._values.items():
            name = metric.name.removesuffix("_total") if openmetrics else metric.name
            lines.append(f"# HELP {name} {_escaped(metric.text)}\n# TYPE {name} {metric.kind}\n")
            for labels, value in values:
                pairs = shown.get((metric.labels, labels))
                if pairs is None:
                    pairs = shown[metric.labels, labels] = _pairs(metric.labels, labels)
                lines.append(f"{metric.name}{pairs} {float(value)!r}\n")
        return "".join(lines)


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def render(accept: str, more: Samples | None = None) -> tuple[bytes, str]:
    """(body, content type): OpenMetrics with exemplars where accept asks for it, else the Prometheus text format.
    more: what was read from the store."""
    encode, content_type = exposition.choose_encoder(accept)
    own = encode(REGISTRY)
    if more is None:
        return own, content_type
    openmetrics = content_type.startswith("application/openmetrics-text")
    stored = more.text(openmetrics=openmetrics).encode("utf-8", "replace")
    if openmetrics:
        return own.removesuffix(_EOF) + stored + _EOF, content_type
    return own + stored, content_type
