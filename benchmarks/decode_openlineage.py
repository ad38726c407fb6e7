"""How long one OpenLineage event takes from bytes to facts, beside a bare `json.loads` of the same bytes.

`python -m benchmarks.decode_openlineage [--rounds N]`: medians over rounds that alternate between the candidates, so
that what else the machine does meets them alike; the ratio is the figure to compare between machines.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

from benchmarks.figures import Figure, Options, Skipped
from collectors.openlineage import OpenLineage
from tests.collectors.openlineage import events
from watchtower.ports import Received

_ASSETS = (
    "[{'uri': 'postgres://db.example.com:5432/shop/public/orders', 'extra': {}, 'type': 'asset'}, "
    "{'uri': 'postgres://db.example.com:5432/shop/public/orders', 'extra': {'row_count': 1234}, 'type': 'asset_event'}]"
)
_OUTPUT = events.dataset("postgres://db.example.com:5432", "shop.public.orders")


def bodies() -> Mapping[str, bytes]:
    """The events that Airflow sends most, and one of a plain client."""
    made: dict[str, Any] = {
        "plain START": events.plain("START"),
        "DAG START": events.airflow_dag("START"),
        "task START": events.airflow_task("START"),
        "task COMPLETE": events.airflow_task("COMPLETE"),
        "task COMPLETE, asset event": events.airflow_task(
            "COMPLETE", task_changes={"outlets": _ASSETS}, outputs=[_OUTPUT]
        ),
        "task FAIL": events.airflow_task("FAIL", retries=2),
        "DAG COMPLETE": events.airflow_dag("COMPLETE"),
    }
    return {name: json.dumps(event).encode() for name, event in made.items()}


def measure(candidates: Mapping[str, Callable[[], object]], rounds: int, loops: int = 200) -> dict[str, float]:
    """Median microseconds of one call, per candidate."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            begin = time.perf_counter()
            for _ in range(loops):
                call()
            taken[name].append((time.perf_counter() - begin) / loops * 1e6)
    return {name: median(values) for name, values in taken.items()}


def decoding(options: Options) -> Sequence[Figure | Skipped]:
    """The whole way from a list of Airflow's events to facts, beside `json.loads` of the same bytes."""
    collector, received = OpenLineage(), Received(events.AT)
    batch = b"[" + b",".join([*bodies().values()] * 14) + b"]"
    candidates = {"json": lambda: json.loads(batch), "decode": lambda: collector.decode(batch, received)}
    result = measure(candidates, 10 * options.rounds, loops=2)
    ours, theirs = result["decode"] / 98, result["json"] / 98
    return [Figure("decoding a list of Airflow's events / json.loads", ours, theirs, "µs an event", "lower")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds: int = parser.parse_args().rounds
    collector, received = OpenLineage(), Received(events.AT)
    print(f"{'event':<28}{'bytes':>7}{'json.loads':>12}{'msgspec':>10}{'decode':>10}{'ratio to json.loads':>21}")
    for name, body in bodies().items():
        result = measure(
            {
                "json": lambda body=body: json.loads(body),
                "msgspec": lambda body=body: msgspec.json.decode(body),
                "decode": lambda body=body: collector.decode(body, received),
            },
            rounds,
        )
        ratio = result["decode"] / result["json"]
        print(
            f"{name:<28}{len(body):>7}{result['json']:>9.1f} us{result['msgspec']:>7.1f} us"
            f"{result['decode']:>7.1f} us{ratio:>21.2f}"
        )
    batch = b"[" + b",".join([*bodies().values()] * 14) + b"]"
    result = measure(
        {"json": lambda: json.loads(batch), "decode": lambda: collector.decode(batch, received)}, rounds, loops=2
    )
    each = {name: value / 98 for name, value in result.items()}
    print(
        f"{'list of 98':<28}{len(batch):>7}{each['json']:>9.1f} us{'':>10}{each['decode']:>7.1f} us"
        f"{each['decode'] / each['json']:>21.2f}   (per event)"
    )


if __name__ == "__main__":
    main()
