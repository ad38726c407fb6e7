"""`python -m tests.fuzz TARGET SECONDS [FOLDER]`: one target under atheris, guided by what its code covers.

What makes it fail is written to FOLDER, else to the current one, and the process ends with another status than 0.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import atheris as _atheris

atheris = cast("Any", _atheris)  # half typed
MEGABYTES = 2_048  # of the whole process, DuckDB and the instrumented modules included
SLOW_S = 20  # for one input; the machine may be busy
MOST = 16_384  # bytes of one input


def main(target: str, seconds: str, folder: str = ".") -> None:
    with atheris.instrument_imports(include=["watchtower", "collectors", "rules", "alerting"]):
        from tests.fuzz import targets
    begin = Path(tempfile.mkdtemp(prefix="watchtower-fuzz-"))
    for number, seed in enumerate(targets.seeds(target)):
        (begin / f"{number:04}").write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "timeout": SLOW_S,
        "rss_limit_mb": MEGABYTES,
        "max_len": MOST,
        "artifact_prefix": f"{folder}/{target}-",
        "print_final_stats": 1,
    }
    given = [sys.argv[0], str(begin), *(f"-{name}={value}" for name, value in options.items())]
    atheris.Setup(given, targets.TARGETS[target]())
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
