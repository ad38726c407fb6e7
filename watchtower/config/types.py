"""Types of configuration values that more than one section uses. A fault names the value and the form wanted."""

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from watchtower.errors import BadInput
from watchtower.model.duration import parse_duration

SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"duration {value!r} is not understood; write e.g. 30s, 5m, 1h30m, 2d")
    try:
        return parse_duration(value)
    except BadInput as error:
        raise ValueError(str(error)) from error


def _zone(value: str) -> str:
    """Not every name that the system has a file for is a zone, and a name can leave the folder of zones."""
    try:
        return ZoneInfo(value).key
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {value!r}; write an IANA name such as Europe/Berlin or UTC") from error


def _web_address(value: str) -> str:
    if not re.match(r"https?://[^\s/]+", value):
        raise ValueError(f"{value!r} is not an address such as https://wiki.example.com/runbook")
    return value


def _label(value: str) -> str:
    if not LABEL_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no label name; use letters, digits and _")
    return value


def _size(value: Any) -> Any:
    found = re.fullmatch(r"\s*(\d+)\s*(B|KiB|MiB|GiB|TiB)?\s*", str(value)) if not isinstance(value, bool) else None
    if found is None:
        raise ValueError(f"size {value!r} is not understood; write e.g. 64MiB, 1GiB, or bytes as a number")
    return int(found[1]) << (10 * SIZE_UNITS.index(found[2] or "B"))


_DURATION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?|(\d+(\.\d+)?(y|w|d|h|ms|m|s))+)\s*$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "a duration such as 30s, 5m, 1h30m, 2d, or seconds as a number",
}

Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=str | float)]
PositiveDuration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=str | float), Field(gt=0)]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str | int)]
Zone = Annotated[str, AfterValidator(_zone)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
LabelName = Annotated[str, AfterValidator(_label)]
