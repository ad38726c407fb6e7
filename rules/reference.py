"""A distribution that stands still: numbers of a file, one a line, such as a model's scores on what it was trained on.

They are read when the configuration is, so an evaluation opens no file, and a reload reads them anew.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

MOST_BYTES = 1_000_000
LEAST, MOST = 50, 10_000  # numbers


@dataclass(frozen=True, slots=True)
class Reference:
    """file: as the configuration names it."""

    file: str
    values: tuple[float, ...]


def _read(value: Any, info: ValidationInfo) -> Reference:
    if isinstance(value, Reference):
        return value
    if not isinstance(value, str):
        raise ValueError("name a file with one number a line, beside this one")
    context: dict[str, Any] = info.context or {}
    try:
        with (context.get("base_dir", Path()) / value).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{value} cannot be read: {error.strerror or error}") from error
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{value} has more than {MOST_BYTES:,} bytes; a sample of {MOST:,} numbers says as much")
    return Reference(value, _numbers(value, raw.decode("utf-8", "replace")))


def _numbers(file: str, text: str) -> tuple[float, ...]:
    found: list[float] = []
    for place, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        number = _number(said)
        if number is not None:
            found.append(number)
        elif said and place > 1:  # the first line may be a heading
            raise ValueError(f"{file}, line {place}: {said[:40]!r} is no number; write one a line")
    if not LEAST <= len(found) <= MOST:
        raise ValueError(f"{file} has {len(found)} numbers; from {LEAST} to {MOST:,} make a reference")
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_NAME_OR_NONE = {"anyOf": [{"type": "string"}, {"type": "null"}]}
File = Annotated[Reference | None, PlainValidator(_read), WithJsonSchema(_NAME_OR_NONE)]
