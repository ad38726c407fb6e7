"""Results of data tests, from the files that tools write → events for `POST /api/v1/events`, one for each test.

A converter is a pure function of one document; `CONVERTERS` names them. What a file does not say (the job, the run) is
said by whoever brings it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from collectors.quality import deequ, elementary, great_expectations, pandera, soda
from collectors.quality.told import Json, Unread

Converter = Callable[[Any], list[dict[str, Any]]]

CONVERTERS: Final[Mapping[str, Converter]] = {
    "great_expectations": great_expectations.events,
    "soda": soda.events,
    "pandera": pandera.events,
    "deequ": deequ.events,
    "elementary": elementary.events,
}

__all__ = ["CONVERTERS", "Converter", "Json", "Unread"]
