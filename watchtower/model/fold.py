"""Merging patches into state, so that any order and any repetition of events gives the same state.

A state is a *document*: a plain dict of primitives (instants as microseconds, enums as text) with, beside it, one
*stamp* per field: whose word it is and when that was said. A merge keeps, per field, the value with the greater
stamp; equal stamps are broken by the value itself. Each field is thus a last-writer-wins register with a total
order, which makes the whole commutative, associative and idempotent (Shapiro et al., "A comprehensive study of
Convergent and Commutative Replicated Data Types", 2011).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from watchtower.model.fact import Fact
from watchtower.model.instants import to_micros
from watchtower.model.origin import stored, union
from watchtower.model.run import JobPatch, RunError, RunPatch, RunState

Document = dict[str, Any]
Stamp = tuple[int, ...]  # compared lexicographically
Stamps = dict[str, Stamp]

# Fields of a run whose last and most authoritative word counts.
RUN_FIELDS: Final = (
    "final", "parent_run_id", "root_run_id", "native_run_id", "generation", "attempt", "max_attempts", "map_index",
    "trigger", "actor", "environment", "code_version", "nominal_start", "nominal_end", "wall_s", "error",
    "external_url", "trace_id", "ol_run_id", "tags", "task_states", "output",
)  # fmt: skip
JOB_FIELDS: Final = (
    "owner", "tags", "description", "job_type", "integration", "schedule", "timezone", "external_url",
    "upstream_tasks", "paused",
)  # fmt: skip
_MINUTE: Final = 60_000_000
_RANKED: Final = {state: (state.rank, state.value) for state in RunState}


def new_run() -> Document:
    """A run of which nothing is known yet. All columns are present; the state is the lowest there is."""
    return {**_NEW_RUN, "stamps": {}}


def fold_run(run: Document, patch: RunPatch, fact: Fact, parents: Mapping[str, str]) -> None:
    """Merge patch into run, in place. parents: run ids of patch.parent_alias and patch.root_alias."""
    said_at = to_micros(fact.event_time)
    stamp = (int(patch.authority), said_at)
    stamps: Stamps = run["stamps"]
    said = _said(patch, parents)
    if stamps:
        for name, value in said.items():
            _put(run, stamps, name, value, stamp)
    else:  # these are the first words of it: nothing can stand against them
        run.update(said)
        stamps.update(dict.fromkeys(said, stamp))
    _fold_state(run, stamps, patch, said_at)
    _fold_times(run, stamps, patch, said_at)
    if patch.origins:
        run["origins"] = union(run["origins"], map(stored, patch.origins))
    first, last = run["first_seen"], run["last_event_at"]
    run["first_seen"] = said_at if first is None or said_at < first else first
    run["last_event_at"] = said_at if last is None or said_at > last else last
    run["historical"] = run["historical"] and fact.historical
    _set_position(run)


def merge_runs(into: Document, other: Document) -> None:
    """Merge the document of a run that turned out to be the same one, in place."""
    mine: Stamps = into["stamps"]
    theirs: Stamps = other["stamps"]
    for name, stamp in theirs.items():
        if name != "state":
            _put(into, mine, name, other[name], stamp)
    _settle(into, _words(into), _words(other))
    into["origins"] = union(into["origins"], other["origins"])
    into["first_seen"] = min(into["first_seen"], other["first_seen"])
    into["last_event_at"] = max(into["last_event_at"], other["last_event_at"])
    into["historical"] = into["historical"] and other["historical"]
    _set_position(into)


def rewound(run: Document, moment: int) -> Document:
    """run, in place, as it stood just before that moment (microseconds), for all that its last words tell: an end that
    was told later had not come. What it is (its parent, trigger, attempt …) its first word told too, as a rule."""
    stamps: Stamps = run["stamps"]
    for name in _OUTCOME:
        if name in stamps and stamps[name][1] >= moment:
            run[name] = _NEW_RUN[name]
            del stamps[name]
    for name in ("queued_at", "started_at", "ended_at"):
        if run[name] is not None and run[name] >= moment:
            run[name] = None
            stamps.pop(name, None)
    known = stamps.get("state")
    if known is not None and known[2] >= moment:
        state = RunState.QUEUED if run["started_at"] is None else RunState.RUNNING
        run["state"], run["event_type"], run["words"] = state.value, "START", None
        stamps["state"] = (state.rank, known[1], run["first_seen"])
    if run["last_event_at"] >= moment:
        known_at = (run[name] for name in ("first_seen", "queued_at", "started_at"))
        run["last_event_at"] = max(at for at in known_at if at is not None)
    _set_position(run)
    return run


_OUTCOME: Final = ("final", "wall_s", "error", "task_states", "output", "ended_at")


def new_job() -> Document:
    return {**dict.fromkeys(JOB_FIELDS), "paused_at": None, "first_seen": None, "last_seen": None, "stamps": {}}


def fold_job(job: Document, patch: JobPatch, fact: Fact) -> bool:
    """Merge patch into job, in place; whether anything changed.

    Times count in whole minutes here: a busy job would else be written again with every event, to say nothing new.
    """
    minute = to_micros(fact.event_time) // _MINUTE
    stamps: Stamps = job["stamps"]
    changed = False
    for name in JOB_FIELDS:
        value = getattr(patch, name)
        if value is not None:
            plain = _CONVERTED[name](value) if name in _CONVERTED else value
            changed |= _put(job, stamps, name, plain, (minute,))
    seen = minute * _MINUTE
    if job["first_seen"] is None or seen < job["first_seen"]:
        job["first_seen"], changed = seen, True
    if patch.paused and (job["paused_at"] is None or seen > job["paused_at"]):
        job["paused_at"], changed = seen, True
    if job["last_seen"] is None or seen > job["last_seen"]:
        job["last_seen"], changed = seen, True
    return changed


def fold_fields(document: Document, values: Mapping[str, Any], said_at: datetime) -> bool:
    """Merge plain values (None: not said) at minute precision, in place; whether anything changed."""
    stamps: Stamps = document["stamps"]
    minute = to_micros(said_at) // _MINUTE
    changed = False
    for name, value in values.items():
        if value is not None:
            changed |= _put(document, stamps, name, value, (minute,))
    return changed


def pack_stamps(stamps: Stamps) -> dict[str, Stamp]:
    """The same stamps in fewer bytes: each distinct one stands once, under the names that bear it."""
    counted: dict[Stamp, list[str]] = {}
    for name, stamp in stamps.items():
        if stamp in counted:
            counted[stamp].append(name)
        else:
            counted[stamp] = [name]
    return {_joined(tuple(names)): stamp for stamp, names in counted.items()}


def unpack_stamps(packed: Mapping[str, Sequence[int]]) -> Stamps:
    unpacked: Stamps = {}
    for names, stamp in packed.items():
        unpacked.update(dict.fromkeys(names.split(","), tuple(stamp)))
    return unpacked


@lru_cache(maxsize=4096)
def _joined(names: tuple[str, ...]) -> str:
    """The same few sets of fields are said again and again."""
    return ",".join(sorted(names))


def _said(patch: RunPatch, parents: Mapping[str, str]) -> Document:
    """What patch says of RUN_FIELDS, as primitives; what it does not say is left out."""
    said: Document = {
        name: convert(value) if convert else value
        for (name, convert), value in zip(_PLAIN, _plain_of(patch), strict=True)
        if value is not None
    }
    for name, alias in (("parent_run_id", patch.parent_alias), ("root_run_id", patch.root_alias)):
        if alias and (run_id := parents.get(alias)) is not None:
            said[name] = run_id
    return said


def _error(error: RunError) -> Document:
    return {"message": error.message, "type": error.type, "stack": error.stack}


def _task_states(states: Mapping[str, RunState]) -> Document:
    return {task: state.value for task, state in states.items()}


_CONVERTED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "nominal_start": to_micros,
    "nominal_end": to_micros,
    "error": _error,
    "task_states": _task_states,
    "tags": dict,
    "upstream_tasks": list,
    "trigger": lambda trigger: trigger.value,
}
_PLAIN: Final = tuple(
    (name, _CONVERTED.get(name)) for name in RUN_FIELDS if name not in ("parent_run_id", "root_run_id")
)
_plain_of: Final = attrgetter(*(name for name, _ in _PLAIN))
_NEW_RUN: Final[Document] = {
    **dict.fromkeys(RUN_FIELDS),
    "generation": 0,
    "attempt": 1,
    "state": RunState.QUEUED.value,
    "event_type": "OTHER",
    "words": None,
    "origins": None,
    "queued_at": None,
    "started_at": None,
    "ended_at": None,
    "first_seen": None,
    "last_event_at": None,
    "position": None,
    "historical": True,
}


def _fold_state(run: Document, stamps: Stamps, patch: RunPatch, said_at: int) -> None:
    """Rank first (a lower one never overrides a higher), then authority, then the later word."""
    if patch.state is None:
        return
    (rank, state), authority = _RANKED[patch.state], int(patch.authority)
    known = stamps.get("state")
    if run["words"] is not None or (known is not None and known[1] != authority):
        word = [rank, said_at, state, patch.event_type]
        _settle(run, _words(run), {str(authority): word})
        return
    stamp = (rank, authority, said_at)
    if _wins(known, stamp, run["state"], state):
        run["state"], run["event_type"] = state, patch.event_type
        stamps["state"] = stamp


# -- more than one source of the same run -------------------------------------------------------------------------

_Words = dict[str, list[Any]]  # by authority: rank, instant, state, event type of its last word


def _words(run: Document) -> _Words:
    """While only one authority has spoken, its word is the state itself, and nothing is kept beside it."""
    if run["words"] is not None:
        return run["words"]
    stamp = run["stamps"].get("state")
    return {} if stamp is None else {str(stamp[1]): [stamp[0], stamp[2], run["state"], run["event_type"]]}


def _settle(run: Document, mine: _Words, theirs: _Words) -> None:
    """The state that follows from all words: of each authority its own last one counts."""
    words = dict(mine)
    for authority, word in theirs.items():
        known = words.get(authority)
        if known is None or word[:3] > known[:3]:
            words[authority] = word
    if not words:
        return
    winner = max(words, key=lambda authority: (words[authority][0], int(authority), *words[authority][1:3]))
    rank, at, state, event_type = words[winner]
    run["state"], run["event_type"] = _finer(state, words), event_type
    run["stamps"]["state"] = (rank, int(winner), at)
    run["words"] = words if len(words) > 1 else None


def _finer(state: str, words: _Words) -> str:
    """An orchestrator's database says `failed` where an event had said how: that it timed out stays known."""
    if state != RunState.FAILED.value:
        return state
    said = {word[2] for word in words.values()}
    return next((finer for finer in _FINER if finer in said), state)


_FINER: Final = (RunState.TIMED_OUT.value, RunState.CRASHED.value)


def _fold_times(run: Document, stamps: Stamps, patch: RunPatch, said_at: int) -> None:
    """Of two beginnings with equal authority the earlier counts; of two ends the one that was said last."""
    for name, value in (("queued_at", patch.queued_at), ("started_at", patch.started_at)):
        if value is not None:
            micros = to_micros(value)
            _put(run, stamps, name, micros, (int(patch.authority), -micros))
    if patch.ended_at is not None:
        _put(run, stamps, "ended_at", to_micros(patch.ended_at), (int(patch.authority), said_at))


def _put(document: Document, stamps: Stamps, name: str, value: Any, stamp: Stamp) -> bool:
    known = stamps.get(name)
    if known is not None and not _wins(known, stamp, document[name], value):
        return False
    document[name] = value
    stamps[name] = stamp
    return True


def _wins(old_stamp: Stamp | None, new_stamp: Stamp, old: Any, new: Any) -> bool:
    if old_stamp is None or new_stamp > old_stamp:
        return True
    return new_stamp == old_stamp and old != new and _order(new) > _order(old)


def _order(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _set_position(run: Document) -> None:
    """The place of a run among those of its job: when it should start, else did, else was first heard of."""
    for name in ("nominal_start", "started_at", "first_seen"):
        if run[name] is not None:
            run["position"] = run[name]
            return


def all_aliases(patches: Iterable[RunPatch]) -> set[str]:
    """Every identity named in patches: of the runs themselves, their parents and roots."""
    found: set[str] = set()
    for patch in patches:
        found.update(patch.aliases)
        found.update(alias for alias in (patch.parent_alias, patch.root_alias) if alias)
    return found
