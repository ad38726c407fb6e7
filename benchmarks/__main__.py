"""`python -m benchmarks [NAME…] [--full]`: measure, and print one line a figure; status 1 if a gate does not hold."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from benchmarks.alarms import alarms
from benchmarks.anomalies import anomalies
from benchmarks.backtesting import backtesting
from benchmarks.billing import billing
from benchmarks.decode_openlineage import decoding
from benchmarks.decode_polled import decoding_polled
from benchmarks.detection import detection
from benchmarks.draining import draining
from benchmarks.figures import ROUNDS, Benchmark, Figure, Options, Skipped, Unavailable, say
from benchmarks.forecasts import forecasts
from benchmarks.history import history
from benchmarks.ingest import ingest
from benchmarks.memory import memory
from benchmarks.objectives import objectives
from benchmarks.polling import polling
from benchmarks.polling_history import polling_history
from benchmarks.readers import readers
from benchmarks.traces import traces

BENCHMARKS: Mapping[str, Benchmark] = {
    "decoding": decoding,
    "decoding-polled": decoding_polled,
    "ingest": ingest,
    "detection": detection,
    "history": history,
    "draining": draining,
    "backtesting": backtesting,
    "objectives": objectives,
    "forecasts": forecasts,
    "memory": memory,
    "polling": polling,
    "polling-history": polling_history,
    "readers": readers,
    "billing": billing,
    "traces": traces,
    "anomalies": anomalies,
    "alarms": alarms,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--full", action="store_true", help="the larger sizes (about an hour) instead of small ones")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"that count ({ROUNDS}); one more warms up")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - BENCHMARKS.keys())
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    options = Options(full=given.full, rounds=given.rounds)
    found: list[Figure | Skipped] = []
    for name in given.names or BENCHMARKS:
        say(f"{name} …")
        try:
            found += BENCHMARKS[name](options)
        except Unavailable as error:
            found.append(Skipped(name, str(error)))
    print(report(found))
    return 0 if all(one.holds for one in found if isinstance(one, Figure)) else 1


def report(found: Sequence[Figure | Skipped]) -> str:
    """A Markdown table of the figures, then what was skipped and why."""
    lines = ["| figure | ours | theirs | ratio | gate / aim | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for one in found:
        if isinstance(one, Figure):
            mark = "" if one.holds else "**does not hold**; "
            lines.append(
                f"| {one.name} ({one.unit}) | {one.ours:,.4g} | {one.theirs:,.4g} | {one.ratio:.3g} | {_bounds(one)} "
                f"| {mark}{one.note} |"
            )
    lines += [f"\nskipped: {one.name}: {one.why}" for one in found if isinstance(one, Skipped)]
    return "\n".join(lines)


def _bounds(figure: Figure) -> str:
    if figure.gate is None:
        return ""
    sign = "≥" if figure.better == "higher" else "≤"
    return f"{sign} {figure.gate:g}" + (f" / {figure.aim:g}" if figure.aim is not None else "")


if __name__ == "__main__":
    sys.exit(main())
