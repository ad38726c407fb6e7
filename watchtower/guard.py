"""The name guard: the five top-level packages must be this distribution's own, and lie side by side.

Their names are plain words, and `watchtower` on the package index is another project, on which Airflow's Amazon
provider depends. In a shared environment one would silently replace parts of the other; so a start is refused then.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from watchtower.errors import UsageError

DISTRIBUTION = "pipeline-watchtower"
PACKAGES = ("watchtower", "collectors", "rules", "alerting", "dashboards")

_MODULE = re.compile(rf'^"?({"|".join(PACKAGES)})(?:/.*)?\.py\b', re.MULTILINE)  # in a RECORD, one file a line


def check_names() -> None:
    """Raise UsageError if another distribution brings one of PACKAGES, or one of them comes from somewhere else."""
    found = foreign_owners(owners()) or strays(Path(__file__).parents[1])
    if found:
        raise UsageError(
            f"{'; '.join(found)}. Watchtower is an application: install it into an environment of its own, "
            "never into an orchestrator's"
        )


def owners(installed: Iterable[Distribution] | None = None) -> Mapping[str, Sequence[str]]:
    """The distributions that bring each of PACKAGES; None: of all in this environment. What is installed as editable
    lists no files, and is not among them. `importlib.metadata.packages_distributions` says as much of every package
    there is, and would take half of a start."""
    found: dict[str, list[str]] = defaultdict(list)
    for distribution in distributions() if installed is None else installed:
        for package in _brought(distribution):
            found[package].append(distribution.metadata["Name"])
    return found


def _brought(distribution: Distribution) -> set[str]:
    """By what it declares, else by its files, as `packages_distributions` has it."""
    declared = distribution.read_text("top_level.txt")
    return {*declared.split()} & {*PACKAGES} if declared else {*_MODULE.findall(distribution.read_text("RECORD") or "")}


def foreign_owners(owners: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences naming each package that another distribution claims."""
    return [
        f"the package {package!r} is also brought by the distribution {owner!r}"
        for package in PACKAGES
        for owner in sorted(set(owners.get(package, ())))
        if owner != DISTRIBUTION
    ]


def strays(home: Path) -> list[str]:
    """Sentences naming each package that Python would not import from the folder home."""
    found: list[str] = []
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            found.append(f"the package {package!r} is missing beside {home / 'watchtower'}")
        elif Path(spec.origin).parents[1] != home:
            found.append(f"Python finds the package {package!r} in {Path(spec.origin).parent}, not in {home}")
    return found
