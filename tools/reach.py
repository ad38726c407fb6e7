"""`make coverage` and `make branches`: which lines and branches no test reaches; fails where those are too many.

Of what delivers and guards, the areas whose faults cost most (tools/mutants/areas.py), every branch must be reached;
of all of it together 90 %. `--critical` runs the tests of those areas alone and asks about nothing else.
"""

import argparse
import subprocess
import sys

from tools.mutants.areas import TESTS, modules
from tools.mutants.operators import ROOT

EVERYWHERE = 90  # per cent of lines and branches
_PACKAGES = "watchtower,alerting"  # where the areas are: to measure no more takes a third less time


def main() -> int:
    options = _options()
    measured = [f"--source={_PACKAGES}"] if options.critical else []
    asked = TESTS if options.critical else options.tests
    workers = ("-n", str(options.jobs), "--dist", "worksteal")
    _coverage("erase")
    codes = [_coverage("run", *measured, "-m", "pytest", "-q", *workers, *asked)]
    _coverage("combine", "--quiet")
    if options.tests:  # some tests reach some of it
        return max(*codes, _coverage("report"))
    if not options.critical:
        codes.append(_coverage("report", f"--fail-under={EVERYWHERE}"))
    codes.append(_coverage("report", f"--include={','.join(modules([]))}", "--fail-under=100"))
    return max(codes)


def _coverage(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make coverage", description=__doc__)
    parser.add_argument("tests", nargs="*", help="ask these only, and hold them to nothing")
    parser.add_argument("--critical", action="store_true", help="what `make branches` does")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
