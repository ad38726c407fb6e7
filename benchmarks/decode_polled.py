"""How long a record of a source that is asked takes from bytes to facts, beside a bare `json.loads` of the same bytes.

CPU time, since what else the machine does is none of it; medians over rounds that alternate between the sources. A
record has the size of what is kept of one run: that of a graph or a pipeline holds its tasks, too. Of some it is the
longest that a poll of their simulator gives, which for Prefect and Dagster is what a real server said.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Options, Skipped
from tests.collectors.polled_records import SOURCES, Decoder
from tests.collectors.worlds import WORLDS
from watchtower.model.source import Window
from watchtower.ports import Received

LOOPS = 200
ASKED = ("airflow", "prefect", "dagster", "kubernetes", "step_functions", "sagemaker")


def decoding_polled(options: Options) -> Sequence[Figure | Skipped]:
    """One figure for each source; its note says how many facts a second one core makes."""
    records = {name: (json.dumps(document).encode(), decode) for name, (document, decode) in SOURCES.items()}
    records |= {name: _longest(name) for name in ASKED}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in records}
    for _ in range(options.rounds):
        for name, (body, decode) in records.items():
            taken[name].append((_seconds(decode, body), _seconds(json.loads, body)))
    return [_figure(name, *records[name], times) for name, times in taken.items()]


def _longest(kind: str) -> tuple[bytes, Decoder]:
    """Of the records that a poll of its simulator gives, with what decodes it."""
    with tempfile.TemporaryDirectory() as folder, WORLDS[kind](Path(folder)) as world:
        source = world.source()
        window = Window(world.now - world.lookback, world.now)
        found = [record for page in source.read(window) for record in page.records]
    received = Received(world.now, "prod")
    return max(found, key=len), lambda body: source.decode(body, received)


def _seconds(call: Callable[[bytes], object], body: bytes) -> float:
    begin = time.process_time()
    for _ in range(LOOPS):
        call(body)
    return (time.process_time() - begin) / LOOPS


def _figure(name: str, body: bytes, decode: Decoder, times: Sequence[tuple[float, float]]) -> Figure:
    found = decode(body)
    assert found.facts and not found.rejects, name
    ours, theirs = (median(each[side] for each in times) for side in (0, 1))
    rate = len(found.facts) / ours
    note = f"{len(body):,} bytes, {len(found.facts)} facts: {rate:,.0f} facts a second"
    return Figure(f"decoding a record of {name} / json.loads", ours * 1e6, theirs * 1e6, "µs", "lower", note=note)
