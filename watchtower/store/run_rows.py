"""Rows of `runs` as the model's Run, straight from the driver.

Each evaluation reads the runs of its job that can still matter: a row through Core is five times as dear. `of_row`
takes the columns in the order of COLUMNS.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import msgspec

from watchtower.model.instants import from_micros
from watchtower.model.origin import from_stored
from watchtower.model.run import Authority, JobRef, Run, RunError, RunState, Trigger, Word

_NAMES = (
    "id", "source", "namespace", "pipeline", "task", "state", "event_type", "final", "parent_run_id", "root_run_id",
    "native_run_id", "generation", "attempt", "max_attempts", "map_index", "trigger", "actor", "environment",
    "code_version", "nominal_start", "nominal_end", "queued_at", "started_at", "ended_at", "wall_s", "error",
    "external_url", "trace_id", "ol_run_id", "tags", "task_states", "first_seen", "last_event_at", "historical",
    "output", "words", "origins",
)  # fmt: skip
COLUMNS = ", ".join(f'"{name}"' for name in _NAMES)

_EPOCH = from_micros(0)
_STATES = {state.value: state for state in RunState}
_TRIGGERS = {trigger.value: trigger for trigger in Trigger}
_json = msgspec.json.Decoder().decode


def of_row(row: Sequence[Any]) -> Run:
    (
        ident, source, namespace, pipeline, task, state, event_type, final, parent_run_id, root_run_id,
        native_run_id, generation, attempt, max_attempts, map_index, trigger, actor, environment,
        code_version, nominal_start, nominal_end, queued_at, started_at, ended_at, wall_s, error,
        external_url, trace_id, ol_run_id, tags, task_states, first_seen, last_event_at, historical,
        output, words, origins,
    ) = row  # fmt: skip
    return Run(
        ident,
        _job(source, namespace, pipeline, task),
        _STATES[state],
        event_type,
        final if final is None else bool(final),
        parent_run_id,
        root_run_id,
        native_run_id,
        generation,
        attempt,
        max_attempts,
        map_index,
        _TRIGGERS[trigger] if trigger else None,
        actor,
        environment,
        code_version,
        nominal_start if nominal_start is None else _EPOCH + timedelta(0, 0, nominal_start),
        nominal_end if nominal_end is None else _EPOCH + timedelta(0, 0, nominal_end),
        queued_at if queued_at is None else _EPOCH + timedelta(0, 0, queued_at),
        started_at if started_at is None else _EPOCH + timedelta(0, 0, started_at),
        ended_at if ended_at is None else _EPOCH + timedelta(0, 0, ended_at),
        wall_s,
        _error(error) if error else None,
        external_url,
        trace_id,
        ol_run_id,
        _tags(tags) if tags else {},
        _task_states(task_states) if task_states else {},
        _EPOCH + timedelta(0, 0, first_seen),
        _EPOCH + timedelta(0, 0, last_event_at),
        bool(historical),
        output,
        words_of(_json(words)) if words else (),
        tuple(map(from_stored, _json(origins))) if origins else (),
    )


@lru_cache(maxsize=65_536)
def _job(source: str, namespace: str, pipeline: str, task: str | None) -> JobRef:
    return JobRef(source, namespace, pipeline, task)


def words_of(said: Mapping[str, Sequence[Any]]) -> tuple[Word, ...]:
    """As model.fold keeps them."""
    return tuple(
        Word(Authority(int(authority)), _STATES[word[2]], from_micros(word[1]))
        for authority, word in sorted(said.items())
    )


def _error(text: str) -> RunError:
    said = _json(text)
    return RunError(said["message"], said["type"], said["stack"])


@lru_cache(maxsize=4096)
def _tags(text: str) -> Mapping[str, str]:
    """The runs of one job bear the same ones: one mapping for all, which nobody changes."""
    return _json(text)


def _task_states(text: str) -> Mapping[str, RunState]:
    return {task: _STATES[state] for task, state in _json(text).items()}
