"""How long a record of a source that is asked takes from bytes to facts, beside a bare `json.loads` of the same bytes.

CPU time, since what else the machine does is none of it; medians over rounds that alternate between the sources. A
record has the size of what is kept of one run: that of a graph or a pipeline holds its tasks, too.
"""

import json
import time
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.figures import Figure, Options, Skipped
from tests.collectors.polled_records import SOURCES, Decoder

LOOPS = 200


def decoding_polled(options: Options) -> Sequence[Figure | Skipped]:
    """One figure for each source; its note says how many facts a second one core makes."""
    bodies = {name: json.dumps(document).encode() for name, (document, _) in SOURCES.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in SOURCES}
    for _ in range(options.rounds):
        for name, (_, decode) in SOURCES.items():
            body = bodies[name]
            taken[name].append((_seconds(decode, body), _seconds(json.loads, body)))
    return [_figure(name, bodies[name], SOURCES[name][1], times) for name, times in taken.items()]


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
