"""Whether a run computed anything, as far as its orchestrator measured it: some call a run good that did nothing.

Measured are what is billed of a run or how long it held its machines (tags of the run that the collectors make), and,
where an event told how each task ended, whether any of them ran at all.
"""

from collections.abc import Mapping
from typing import Final

from watchtower.model.run import Run, RunState

# Of AWS Glue, EMR Serverless and Dataproc's batches.
MEASURES: Final = frozenset({"dpu_seconds", "execution_seconds", "vcpu_hours", "memory_gb_hours", "dcu_seconds"})


def measured(run: Run) -> Mapping[str, float]:
    """What was measured of it, by name; empty where nothing was."""
    told = {name: _number(run.tags[name]) for name in sorted(MEASURES & run.tags.keys())}
    if run.task_states and all(state.is_terminal for state in run.task_states.values()):
        told["tasks_that_ran"] = sum(state not in _NEVER_RAN for state in run.task_states.values())
    return {name: value for name, value in told.items() if value is not None}


def computed(run: Run) -> bool | None:
    """None where nothing was measured."""
    found = measured(run)
    return any(value > 0 for value in found.values()) if found else None


_NEVER_RAN: Final = frozenset({RunState.SKIPPED, RunState.UPSTREAM_FAILED})


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
