"""Logs as lines of JSON, without control characters and without secrets of ours."""

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any

import msgspec
from opentelemetry import trace

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Anything that looks like one of our secrets, as a second net behind types that never show theirs.
_SECRET = re.compile(r"\bwt_[a-z]+_\w{6,}|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}|(?<=[?&]code=)[\w-]{16,}")
# The encoder escapes C0; these too move a terminal's cursor, end a line or turn the reading direction.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: time, level, logger, message, the facts given as `extra`, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            fields["trace_id"] = f"{context.trace_id:032x}"
        if record.exc_info and record.exc_info[0] is not None:
            # A filter may have made the text already, without what must not be logged.
            fields["exception"] = record.exc_text or "".join(traceback.format_exception(*record.exc_info))
        return to_line(fields)


def to_line(fields: Mapping[str, Any]) -> str:
    """JSON on one line, control characters escaped, secrets of ours replaced."""
    text = msgspec.json.encode(fields, enc_hook=str).decode()
    text = _SECRET.sub("***", text)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def configure(stream: IO[str] | None = None, *, level: int = logging.INFO) -> None:
    """Send all logs to stream (standard error by default) as JSON lines; replaces what was configured before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # What uvicorn tells of each connection is a metric here, not a line.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
