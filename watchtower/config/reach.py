"""Routes, owners and jobs that can be read and that nothing reaches: behind one that takes the same, by a label that no
alert has, for a team that nobody has, in a namespace of which no source tells.

They are warnings: a file that was pasted in may hold labels of other tools' alerts, and orchestrators name teams, too.
So of such names only those are doubted that are nearly one that is known.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

from watchtower.config.alerting import GROUP_BY_ALL, Route
from watchtower.config.document import Path, parts
from watchtower.config.faults import Faults
from watchtower.config.model import Config, Ownership
from watchtower.config.rules import MATCHABLE, OWN_LABELS
from watchtower.model.labels import Matcher

_CLOSE = 0.75  # of difflib's ratio: one slip in a name of four letters, two in one of ten
_OWNED = ("owner", "team")


def doubt(config: Config, faults: Faults) -> None:
    """Warn of what stands in the file and can never be of use. config: without faults."""
    _of_siblings(config.route, faults)
    _of_owners(config.ownership, faults)
    _of_namespaces(config, faults)
    labels = {*OWN_LABELS, *MATCHABLE, *(name for rule in config.declared_rules for name in rule.labels)}
    people = {name: _said(config, name) for name in _OWNED}
    for path, matchers in _matchers(config):
        for matcher in matchers:
            _of_label(path, matcher.name, labels, faults)
            if matcher.op == "=" and matcher.name in people:
                _of_value(path, matcher, people[matcher.name], faults)
    for path, names in _label_lists(config):
        for name in names:
            _of_label(path, name, labels, faults)


def _of_siblings(node: Route, faults: Faults) -> None:
    takers: list[tuple[frozenset[Matcher], Route]] = []
    for child in node.routes:
        wanted = frozenset(child.matchers)
        before = next((route for taken, route in takers if taken <= wanted), None)
        if before is not None:
            remedy = f"put it before that one, or add continue: true to {before.path}"
            faults.warn(parts(child.path), f"no alert comes here: {before.path} takes each of them before", remedy)
        if not child.continue_:
            takers.append((wanted, child))
        _of_siblings(child, faults)


def _of_owners(entries: Sequence[Ownership], faults: Faults) -> None:
    """The first entry that fits decides, for the owner and for the team each."""
    wanted = [frozenset(entry.matchers) for entry in entries]
    for index, entry in enumerate(entries):
        wider = [place for place in range(index) if wanted[place] <= wanted[index]]
        said = [name for name in _OWNED if getattr(entry, name)]
        firsts = [next((place for place in wider if getattr(entries[place], name)), None) for name in said]
        if firsts and None not in firsts:
            what = f"decides nothing: ownership[{firsts[0]}] fits whatever it does, and stands before it"
            faults.warn(("ownership", index), what, "put it before that one")


def _of_namespaces(config: Config, faults: Faults) -> None:
    """A job that is expected where nothing runs is missing each day, and the one that runs is expected by nobody."""
    told: Mapping[str, Sequence[str]] = getattr(config.collectors.get("openlineage"), "sources", {})
    known = {name for patterns in told.values() for name in patterns if not any(sign in name for sign in "*?[")}
    known |= {each.of_jobs for each in config.polled}
    for job in config.jobs:
        if job.namespace is None or job.namespace in known or config.source_of(job.namespace) in told:
            continue
        if close := get_close_matches(job.namespace, sorted(known), n=1, cutoff=_CLOSE):
            what = f"no source of this file tells of the namespace {job.namespace!r}"
            faults.warn((*parts(job.path), "namespace"), what, f"is {close[0]!r} meant?")


def _of_label(path: Path, name: str, known: Collection[str], faults: Faults) -> None:
    if name in known or name.startswith("tag_") or name == GROUP_BY_ALL:
        return
    if close := get_close_matches(name, sorted(known), n=1, cutoff=_CLOSE):
        faults.warn(path, f"no alert that is known of has the label {name!r}", f"is {close[0]!r} meant?")


def _of_value(path: Path, matcher: Matcher, known: Collection[str], faults: Faults) -> None:
    if not matcher.value or matcher.value in known:
        return
    if close := get_close_matches(matcher.value, sorted(known), n=1, cutoff=_CLOSE):
        faults.warn(path, f"this file has no {matcher.name} {matcher.value!r}", f"is {close[0]!r} meant?")


def _said(config: Config, name: str) -> set[str]:
    """Every owner, or team, that the file gives to something."""
    given = (*config.jobs, *config.datasets, *config.ownership, *config.budgets, *config.oncall.people.values())
    return {value for each in given if (value := getattr(each, name, None))}


def _matchers(config: Config) -> Iterator[tuple[Path, Sequence[Matcher]]]:
    for route in _routes(config.route):
        yield (*parts(route.path), "matchers"), route.matchers
    for index, rule in enumerate(config.inhibit_rules):
        yield ("inhibit_rules", index, "source_matchers"), rule.source
        yield ("inhibit_rules", index, "target_matchers"), rule.target
    for index, window in enumerate(config.maintenance):
        yield ("maintenance", index, "matchers"), window.matchers


def _label_lists(config: Config) -> Iterator[tuple[Path, Sequence[str]]]:
    """What is inherited is said where it stands."""
    yield ("route", "group_by"), config.route.group_by
    for route in _routes(config.route):
        for child in route.routes:
            if child.group_by != route.group_by:
                yield (*parts(child.path), "group_by"), child.group_by
    for index, rule in enumerate(config.inhibit_rules):
        yield ("inhibit_rules", index, "equal"), rule.equal


def _routes(node: Route) -> Iterator[Route]:
    yield node
    for child in node.routes:
        yield from _routes(child)
