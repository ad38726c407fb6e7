"""Names of files with a date in them: `orders/{date:%Y-%m-%d}.csv`, where `*` is any part of one name.

A pattern matches names, gives the date in one, and says which name belongs to a date.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_DATE = re.compile(r"\{date:([^{}]+)\}")
_DIRECTIVES: Final = {"Y": r"\d{4}", "y": r"\d{2}", "j": r"\d{3}", **dict.fromkeys("mdHMS", r"\d{2}")}


@dataclass(frozen=True, slots=True)
class Pattern:
    """format: of the date in it, as strftime has it; None where there is none."""

    said: str
    regex: re.Pattern[str]
    format: str | None

    @property
    def prefix(self) -> str:
        """What every name begins with."""
        return re.split(r"\*|\{date:", self.said, maxsplit=1)[0]

    def matches(self, name: str) -> bool:
        return self.regex.fullmatch(name) is not None

    def date_in(self, name: str) -> datetime | None:
        """Naive. None where the name has none, or one that is no date."""
        found = self.regex.fullmatch(name)
        if found is None or self.format is None:
            return None
        try:
            return datetime.strptime(found["date"], self.format)  # noqa: DTZ007 - a date in a name names no zone
        except ValueError:
            return None

    def of(self, moment: datetime) -> str:
        """The name that belongs to moment."""
        return _DATE.sub(lambda found: moment.strftime(found[1]), self.said)


def pattern(said: str) -> Pattern:
    """Raises ValueError that says what is wrong with it."""
    dates = _DATE.findall(said)
    if len(dates) > 1:
        raise ValueError(f"{said!r} holds more than one date; write one with slashes: {{date:%Y/%m/%d}}")
    rest = _DATE.sub("", said)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{said!r} holds a brace that is no {{date:%Y-%m-%d}}")
    parts = [_any(part) for part in _DATE.split(said)[::2]]
    middle = f"(?P<date>{_of_format(dates[0])})" if dates else ""
    return Pattern(said, re.compile(parts[0] + middle + "".join(parts[1:])), dates[0] if dates else None)


def _any(text: str) -> str:
    return "[^/]*".join(re.escape(part) for part in text.split("*"))


def _of_format(form: str) -> str:
    made = ""
    characters = iter(form)
    for character in characters:
        if character != "%":
            made += re.escape(character)
            continue
        directive = next(characters, "")
        if directive not in _DIRECTIVES:
            known = ", ".join(f"%{each}" for each in _DIRECTIVES)
            raise ValueError(f"%{directive} in {{date:{form}}} is not known; known: {known}")
        made += _DIRECTIVES[directive]
    return made
