"""`python -m tests.server.metrics_reference --write`: the tables of docs/metrics.md, made from the metrics."""

import re
import sys
from pathlib import Path

from watchtower.telemetry.instruments import Metric
from watchtower.telemetry.metrics import RUN_STATE_CODES, declared

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_MARKED = re.compile(r"(<!-- (own|stored|states) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def table(part: str) -> str:
    if part == "states":
        rows = [f"| {code} | `{state.value}` |" for state, code in RUN_STATE_CODES.items()]
        return "\n".join(["| Value | State |", "|---|---|", *rows]) + "\n"
    shown = [metric for metric in declared() if metric.stored is (part == "stored")]
    return "\n".join(["| Name | Type | Labels | Meaning |", "|---|---|---|---|", *map(_row, shown)]) + "\n"


def replaced() -> str:
    return _MARKED.sub(lambda found: found[1] + table(found[2]) + found[3], PAGE.read_text(encoding="utf-8"))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} |"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(replaced(), encoding="utf-8")
    sys.exit(PAGE.read_text(encoding="utf-8") != replaced())
