"""`make mutants`: put faults into the code, tell which no test finds, and fail where too few are found.

ARGS: areas or modules; --sample N and --seed N try some of the faults, --match TEXT those with this in their name,
--again FILE those that an earlier run, whose output FILE holds, did not find; --seeded tries the faults with a name
(seeded.py) instead.
"""

import argparse
import difflib
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from tools.mutants import seeded
from tools.mutants.areas import AREAS, TESTS, modules
from tools.mutants.operators import ROOT, tried
from tools.mutants.session import Edit, Judge, Verdict, collected

_NOT_FOUND = "NOT FOUND"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def equivalent() -> dict[str, str]:
    """Reasons by the name of the fault."""
    return {
        name: reason
        for reason, names in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).items()
        for name in names
    }


def main() -> int:
    options = _options()
    if options.seeded:
        return _seeded(options)
    wanted = modules(options.modules)
    left_out = equivalent()
    again = _names_in(options.again) if options.again else None
    found = [
        one
        for one in tried(wanted)
        if options.match in one.name and one.name not in left_out and (again is None or one.name in again)
    ]
    Random(options.seed).shuffle(found)  # so that what is known early is a fair sample
    found = found[: options.sample]
    print(
        f"{len(found)} faults in {len(wanted)} modules (seed {options.seed}); first the tests without any", flush=True
    )
    sources = {module: (ROOT / module).read_bytes() for module in wanted}  # as they are now, whoever changes them
    edits = (Edit(one.name, one.module, one.applied(sources[one.module]), one.lines) for one in found)
    verdicts = _tried(wanted, edits, options.tests or TESTS, options)
    if verdicts is None:
        return 2
    return _score(wanted, verdicts, options.at_least)


def _names_in(file: Path) -> set[str]:
    """Of the faults that an earlier run, whose output file holds, did not find."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {line.partition("): ")[2] for line in lines if line.startswith(_NOT_FOUND)}


def _seeded(options: argparse.Namespace) -> int:
    edits = [seed.edit() for seed in seeded.SEEDS if options.match in seed.name]
    print(f"{len(edits)} faults with a name; first the tests without any", flush=True)
    verdicts = _tried(sorted({edit.module for edit in edits}), edits, seeded.TESTS, options)
    if verdicts is None:
        return 2
    found = sum(bool(verdict.killed_by) for verdict in verdicts)
    print(f"{found} of {len(verdicts)} faults were found")
    return int(found < len(edits))


def _tried(
    wanted: list[str], edits: Iterable[Edit], tests: Sequence[str], options: argparse.Namespace
) -> list[Verdict] | None:
    verdicts: list[Verdict] = []

    def told(verdict: Verdict) -> None:
        verdicts.append(verdict)
        if not verdict.killed_by:
            print(_survivor(verdict), flush=True)
        elif options.verbose or options.seeded:
            print(f"found: {verdict.edit.name}\n    by {verdict.killed_by} ({verdict.seconds:.1f} s)", flush=True)

    judge = Judge(wanted, edits, told, jobs=options.jobs, patience_s=options.patience)
    code = collected(tests, judge)
    if judge.left_out:
        print(f"not asked, since they fail without any fault: {', '.join(judge.left_out)}", file=sys.stderr)
    return None if code else verdicts


def _survivor(verdict: Verdict) -> str:
    """Its name, and its lines as a patch shows them."""
    edit = verdict.edit
    before = (ROOT / edit.module).read_text(encoding="utf-8").splitlines()
    patch = list(difflib.unified_diff(before, edit.changed.decode().splitlines(), lineterm="", n=0))[2:]
    asked = f"{verdict.reached} tests were asked" if verdict.reached else "no test reaches it"
    return "\n".join([f"{_NOT_FOUND} ({asked}): {edit.name}", *(f"    {line}" for line in patch)])


def _score(wanted: list[str], verdicts: list[Verdict], at_least: float) -> int:
    tried_in = Counter(verdict.edit.module for verdict in verdicts if verdict.killed_by != "?")
    found_in = Counter(verdict.edit.module for verdict in verdicts if verdict.killed_by not in ("", "?"))
    low: list[str] = []
    for area, members in AREAS.items():
        there = [module for module in members if module in wanted and tried_in[module]]
        for module in there:
            print(f"  {module:42} {found_in[module]:4} of {tried_in[module]:4}")
        total, found = sum(tried_in[module] for module in there), sum(found_in[module] for module in there)
        if total:
            print(f"{area:44} {found:4} of {total:4}  {100 * found / total:5.1f} %")
            low += [area] if 100 * found / total < at_least else []
    left = sum(verdict.killed_by == "?" for verdict in verdicts)
    print(f"{sum(found_in.values())} of {sum(tried_in.values())} faults were found; {left} could not be put in")
    if low:
        print(f"less than {at_least:g} % in {', '.join(low)}", file=sys.stderr)
    return int(bool(low))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"areas ({', '.join(AREAS)}) or modules; all without any")
    parser.add_argument("--sample", type=int, metavar="N", help="try N faults only")
    parser.add_argument("--seed", type=int, default=1, help="of the order, and so of the sample")
    parser.add_argument("--match", default="", metavar="TEXT", help="only faults with this in their name")
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="only those that the output in FILE says were not found"
    )
    parser.add_argument("--seeded", action="store_true", help="the faults with a name")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="ask these tests instead of all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--patience", type=float, default=20.0, help="CPU seconds of tests for one fault")
    parser.add_argument("--at-least", type=float, default=85.0, metavar="PERCENT", help="found in each area, else fail")
    parser.add_argument("--verbose", action="store_true", help="say also what was found, and by which test")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
