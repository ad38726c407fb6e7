"""What an event says went wrong: the errorMessage facet, else the assertions that did not hold."""

import re
from collections.abc import Iterable

from collectors.openlineage.texts import TEXT_CHARS, both_ends, cut
from collectors.openlineage.wire import Assertion, ErrorMessage
from watchtower.model.run import RunError

_PYTHON_TYPE = re.compile(r"([A-Za-z_][\w.]{0,200})(?::|$)")
_JVM_TYPE = re.compile(r"(?:Exception in thread \"[^\"]{0,200}\" )?([A-Za-z_][\w.$]{0,200}(?:Exception|Error))\b")
_LOOK_BACK = 100  # lines; a message rarely has more
_SHOWN = 5

# `Timeout, PID: n` is AirflowTaskTimeout where the stack is missing; `timed_out` a DAG run beyond dagrun_timeout.
_TIMEOUT_TYPES = frozenset({"AirflowTaskTimeout", "AirflowSensorTimeout"})
_TIMEOUT_MESSAGES = ("Timeout, PID:", "timed_out")


def run_error(facet: ErrorMessage | None) -> RunError | None:
    """The error of facet; None if it says nothing."""
    if facet is None or not (facet.message or facet.stack_trace):
        return None
    message, stack = facet.message or "", facet.stack_trace or ""
    kind = error_type(message, stack)
    return RunError(cut(message or kind, TEXT_CHARS), kind, both_ends(stack))


def error_type(message: str, stack: str) -> str:
    """The exception's type, as the stack names it: Python on the last line before the message, the JVM on the first."""
    text = stack.strip()
    if not text:
        return ""
    if not text.startswith("Traceback") and (found := _JVM_TYPE.match(text)):
        return found[1]
    before = text.removesuffix(message.strip()) if message else text
    lines = before[-8_192:].rstrip(": \n").splitlines()[-_LOOK_BACK:]
    for line in reversed(lines):
        if line and not line[0].isspace() and (found := _PYTHON_TYPE.match(line)):
            return "" if found[1] in ("Traceback", "During", "The") else found[1]
    return ""


def is_timeout(error: RunError | None) -> bool:
    if error is None:
        return False
    return error.type.rpartition(".")[2] in _TIMEOUT_TYPES or error.message.startswith(_TIMEOUT_MESSAGES)


def failed_assertions(found: Iterable[tuple[str, Assertion]]) -> RunError | None:
    """An error made of the checks that did not hold. found: (dataset name, assertion)."""
    failed = [_sentence(dataset, check) for dataset, check in found if check.success is False]
    if not failed:
        return None
    shown = "; ".join(dict.fromkeys(failed[:_SHOWN]))
    more = f"; and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    return RunError(cut(f"{shown}{more}", TEXT_CHARS), "AssertionFailed")


def _sentence(dataset: str, check: Assertion) -> str:
    name = check.assertion or check.name or "check"
    subject = f"{name}({check.column})" if check.column else name
    numbers = ""
    if check.expected is not None and check.actual is not None:
        numbers = f": expected {check.expected}, found {check.actual}"
    where = f" on {dataset}" if dataset else ""
    return f"{subject} does not hold{where}{numbers}"
