"""Who is who among runs: which run each name means, and which runs turn out to be one.

A name that a run's id is made from needs no row, as far as it is an OpenLineage one, which nearly all are: it leads to
the run of that id, or to the one into which that was merged. `run_aliases` holds further names, those of other kinds,
and those of runs that were not heard of yet; so its rows do not depend on the order in which events came either.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from watchtower.model.run import RunPatch, stable_id
from watchtower.store import dialect, driver
from watchtower.store.schema.observed import run_aliases

OPENLINEAGE: Final = "ol|"
_MERGED: Final = "id|"  # and the id of a run that is no more

_BY_NAME = "SELECT alias, run_id FROM run_aliases WHERE alias {among}"
_THERE = "SELECT id FROM runs WHERE id {among}"
_INSERT = "INSERT INTO run_aliases (alias, run_id) VALUES {values} ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM run_aliases WHERE alias = {mark}"


@dataclass(frozen=True, slots=True)
class Names:
    """What names lead to, as the store has it. rows: those that stand in run_aliases; own: the ids that are made from
    OpenLineage names, known or not."""

    run_ids: dict[str, str]
    rows: frozenset[str]
    own: Mapping[str, str]


def resolve(connection: Connection, aliases: Collection[str]) -> Names:
    """Those of aliases that are known."""
    own = {alias: stable_id("run", alias) for alias in aliases if alias.startswith(OPENLINEAGE)}
    asked = {*aliases, *(_MERGED + run_id for run_id in own.values())}
    found = {row[0]: row[1] for row in dialect.rows_among(connection, _BY_NAME, asked)}
    run_ids = {alias: found[alias] for alias in aliases if alias in found}
    names = Names(run_ids, frozenset(run_ids), own)
    rest = {alias: run_id for alias, run_id in own.items() if alias not in found}
    there = {row[0] for row in dialect.rows_among(connection, _THERE, rest.values())}
    for alias, run_id in rest.items():
        merged_into = found.get(_MERGED + run_id)
        if merged_into is not None or run_id in there:
            run_ids[alias] = merged_into or run_id
    return names


def merged_into(connection: Connection, run_id: str) -> str | None:
    """The run into which that of run_id was merged."""
    query = select(run_aliases.c.run_id).where(run_aliases.c.alias == _MERGED + run_id)
    return connection.execute(query).scalar()


class Identities:
    """Which run each alias names. The id of a run is made from its canonical alias, the first one known."""

    def __init__(self, connection: Connection, aliases: Collection[str]) -> None:
        self._connection = connection
        names = resolve(connection, aliases)
        self._known = names.run_ids
        self._rows = names.rows
        self._own = names.own
        self._new: dict[str, str] = {}
        self._redirects: dict[str, str] = {}
        self._named: dict[tuple[str, str], bool] = {}
        self.merges: list[tuple[str, str]] = []  # (merged run id, surviving run id)

    def of(self, patch: RunPatch) -> str:
        """The run that patch is about; registers its aliases, and merges runs that it shows to be one."""
        canonical = patch.aliases[0]
        run_id = self._known.get(canonical)
        others = {self._known[alias] for alias in patch.aliases[1:] if alias in self._known}
        if run_id is None:
            # An OpenLineage run id of its own is a run of its own (a cleared run, a further try), also where the
            # native identity is shared: join only what is known by no OpenLineage id yet.
            free = sorted(other for other in others if not self._is_named(other, canonical))
            run_id = free[0] if free else self._own.get(canonical) or stable_id("run", canonical)
        elif others - {run_id}:
            for other in sorted(others - {run_id}):
                if not self._is_named(other, canonical):
                    self._redirect(other, run_id)
        for alias in patch.aliases:
            if alias not in self._known:
                self._known[alias] = self._new[alias] = run_id
                self._named[run_id, _kind(alias)] = True
        return run_id

    def parents(self, patch: RunPatch) -> Mapping[str, str]:
        """Run ids of parent and root. One that was not heard of yet is promised an id under the name by which it was
        called, and gets it under whichever name it comes: an event and a poll call it by different ones."""
        if patch.parent_alias is None and patch.root_alias is None:
            return {}
        named = {alias for alias in (patch.parent_alias, patch.root_alias) if alias}
        for alias in named - self._known.keys():
            self._known[alias] = self._new[alias] = stable_id("run", alias)
        return {alias: self.surviving(self._known[alias]) for alias in named}

    def surviving(self, run_id: str) -> str:
        while run_id in self._redirects:
            run_id = self._redirects[run_id]
        return run_id

    def write(self, runs: Collection[str]) -> None:
        """runs: ids of those that the batch touched, which are in the store now."""
        new = {alias: self.surviving(run_id) for alias, run_id in sorted(self._new.items())}
        rows = [(alias, run_id) for alias, run_id in new.items() if not self._leads(alias, run_id, runs)]
        if rows:
            driver.insert(self._connection, _INSERT, rows)
        kept = sorted(alias for alias in self._rows if self._leads(alias, self._known[alias], runs))
        if kept:  # promises
            driver.write(
                self._connection, _FORGET.format(mark=dialect.mark(self._connection)), [(alias,) for alias in kept]
            )

    def _leads(self, alias: str, run_id: str, runs: Collection[str]) -> bool:
        """Whether alias leads to run_id, one of runs, without a row."""
        own = self._own.get(alias)
        return own is not None and run_id in runs and self.surviving(own) == run_id

    def _redirect(self, merged: str, survivor: str) -> None:
        self._redirects[merged] = survivor
        self._named.clear()
        self.merges.append((merged, survivor))
        self._new[_MERGED + merged] = survivor
        for alias, run_id in self._known.items():
            if run_id == merged:
                self._known[alias] = survivor

    def _is_named(self, run_id: str, like: str) -> bool:
        """Whether run_id has a canonical alias of the same kind already (`ol|…`)."""
        key = (run_id, _kind(like))
        if key not in self._named:
            query = select(run_aliases.c.alias).where(run_aliases.c.run_id == run_id)
            self._named[key] = has_kind(run_id, self._connection.scalars(query), key[1])
        return self._named[key]


def has_kind(run_id: str, aliases: Iterable[str], kind: str) -> bool:
    """Whether a run has a name of this kind. aliases: its rows. An id that is made from none of them, be it its own or
    that of a run which was merged into it, is made from an OpenLineage name, which needs no row."""
    rows = set(aliases)
    if any(alias.startswith(kind) for alias in rows):
        return True
    ids = {run_id, *(alias.removeprefix(_MERGED) for alias in rows if alias.startswith(_MERGED))}
    return kind == OPENLINEAGE and bool(ids - {stable_id("run", alias) for alias in rows})


def _kind(alias: str) -> str:
    return alias.split("|", 1)[0] + "|"
