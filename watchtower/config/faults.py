"""Collects all that is wrong with a document, each fault with path, line and remedy, and never the value of a secret.

What pydantic says is put into plain words here; texts of validators are passed on as they are.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from watchtower.config.document import Document, Path, dotted
from watchtower.errors import Fault, WatchtowerError

M = TypeVar("M", bound=BaseModel)

# pydantic's error types → plain words; {name} is filled from the error's context.
_WORDS = {
    "missing": "is required",
    "string_type": "must be a text; put it in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "too_short": "needs at least {min_length} items",
    "too_long": "takes at most {max_length} items",
    "none_required": "must be empty",
}
# Those of numbers, with the remedy; {input} is what was written: no secret is a number.
_NUMBERS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number, and {input} is none"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number, and {input} is none"),
    "finite_number": "must be a finite number: nothing is above or below {input}",
    "greater_than": "must be more than {gt:g}, and is {input}",
    "greater_than_equal": "must be at least {ge:g}, and is {input}",
    "less_than": "must be less than {lt:g}, and is {input}",
    "less_than_equal": "must be at most {le:g}, and is {input}",
}
_MOST_CLOSE = 3
_DIGITS = "write digits alone, with a point before a fraction, e.g. 10000 or 0.95"


def close_to(name: str, known: Iterable[str]) -> str:
    """`did you mean 'receiver'?`, or what is known if nothing is close."""
    names = list(known)
    close = _closest(name, names) or _closest(name.lower(), names)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names)}"


def _closest(name: str, names: Sequence[str]) -> list[str]:
    """The name that is closest, or all that are as close: `team3` is as near to `team03` as to `team13`."""
    close = get_close_matches(name, names, n=_MOST_CLOSE, cutoff=0.6)
    nearness = {each: SequenceMatcher(None, each, name).ratio() for each in close}
    return sorted(each for each in close if nearness[each] == max(nearness.values()))


class Faults:
    """Faults and warnings of one document, in the order in which they were found; `sorted` is by line."""

    def __init__(self, document: Document, file: str = "") -> None:
        self._document = document
        self._file = file
        self._found: dict[Fault, None] = dict.fromkeys(document.faults)
        self._warned: dict[Fault, None] = {}

    @property
    def found(self) -> list[Fault]:
        return _by_line(self._found, self._file)

    @property
    def warnings(self) -> list[Fault]:
        return _by_line(self._warned, self._file)

    def add(self, path: Path, message: str, remedy: str = "") -> None:
        self._found[self._fault(path, message, remedy)] = None

    def warn(self, path: Path, message: str, remedy: str = "") -> None:
        self._warned[self._fault(path, message, remedy)] = None

    def take(self, other: "Faults") -> None:
        """Also those of another document, a file that this one names."""
        self._found |= other._found
        self._warned |= other._warned

    def line(self, path: Path) -> int | None:
        return self._document.line(path)

    def mapping(self, value: Any, path: Path) -> dict[str, Any]:
        """value if it is a mapping; nothing there is an empty one; all else is a fault."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add(path, "must be a mapping", "write keys below it, e.g. `name: value`")
            return {}
        return cast("dict[str, Any]", value)

    def listed(self, value: Any, path: Path) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.add(path, "must be a list", "begin each item with `- `")
            return []
        return cast("list[Any]", value)

    def unknown(self, path: Path, key: str, known: Iterable[str]) -> None:
        self.add((*path, key), "unknown key", close_to(key, known))

    def validated(
        self,
        model: type[M],
        data: Any,
        path: Path,
        *,
        context: Mapping[str, Any] | None = None,
        also: Sequence[str] = (),
        elsewhere: Mapping[str, Path] | None = None,
    ) -> M | None:
        """data as model; None if it has faults, which are collected. also: further keys to suggest for unknown ones;
        elsewhere: keys of data that stand at another path of the document."""
        try:
            return model.model_validate(data, context=dict(context or {}))
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self._translated(model, cast("dict[str, Any]", each), path, also, elsewhere or {})
        except WatchtowerError as error:  # raised by a plug-in's own parser
            self.add(path, str(error))
        return None

    def salvaged(self, model: type[M], data: Any, path: Path, fill: Mapping[str, Any] | None = None) -> M | None:
        """As validated, but what is right of data is still read, so that further checks find their faults, too. fill:
        stands in for required keys that are not there."""
        made = self.validated(model, data, path)
        if made is not None or not isinstance(data, dict):
            return made
        kept = {**(fill or {}), **cast("dict[str, Any]", data)}
        try:
            model.model_validate(kept)
        except ValidationError as error:
            wrong = {str(each["loc"][0]) for each in error.errors(include_url=False) if each["loc"]}
            kept = {**(fill or {}), **{key: value for key, value in kept.items() if key not in wrong}}
        try:
            return model.model_validate(kept)
        except ValidationError:
            return None

    def _translated(
        self,
        model: type[BaseModel],
        error: dict[str, Any],
        path: Path,
        also: Sequence[str],
        elsewhere: Mapping[str, Path],
    ) -> None:
        loc: Path = error["loc"]
        moved = elsewhere.get(str(loc[0])) if loc else None
        where = (*path, *_in_document(loc)) if moved is None else (*moved, *_in_document(loc[1:]))
        kind, context = error["type"], error.get("ctx", {})
        if kind == "extra_forbidden":
            keys = keys_at(model, loc[:-1])
            known = [*keys, *also] if len(loc) == 1 else keys
            self.unknown(where[:-1], str(loc[-1]), known)
        elif kind in ("literal_error", "enum"):
            given, known = error["input"], re.findall(r"'([^']*)'", str(context.get("expected", "")))
            shown = f"{given!r} is not known" if isinstance(given, str | int | float | None) else "must be one word"
            remedy = close_to(given, known) if isinstance(given, str) and known else f"known: {context.get('expected')}"
            self.add(where, shown, remedy)
        elif kind in _NUMBERS:
            self.add(where, _number_words(error), _DIGITS if kind.endswith(("_type", "_parsing")) else "")
        elif kind in _WORDS:
            self.add(where, _WORDS[kind].format(**context))
        else:
            self.add(where, error["msg"].removeprefix("Value error, "))

    def _fault(self, path: Path, message: str, remedy: str) -> Fault:
        return Fault(dotted(path), message, remedy, self.line(path), self._file)


def _number_words(error: Mapping[str, Any]) -> str:
    """A value that is no scalar is not shown."""
    given = error["input"]
    shown = given if isinstance(given, int | float) and not isinstance(given, bool) else repr(given)
    if not isinstance(given, str | int | float):
        shown = "this" if given is not None else "nothing"
    return _NUMBERS[error["type"]].format(**{**error.get("ctx", {}), "input": shown})


def keys_at(model: type[BaseModel], loc: Path) -> list[str]:
    """The keys that the model at loc within model takes, as they are written in a file."""
    models = [model]
    for part in loc:
        models = [inner for each in models for inner in _inner(each, part)]
    return list(dict.fromkeys(key for each in models for key in keys_of(each)))


def keys_of(model: type[BaseModel]) -> list[str]:
    return [str(field.alias or name) for name, field in model.model_fields.items()]


def _inner(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    """The models that a field of model can hold; list indexes and mapping keys lead to the same models again."""
    fields = {str(field.alias or name): field for name, field in model.model_fields.items()}
    if part in fields:
        return list(_models(fields[str(part)].annotation))
    return [model]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None or isinstance(annotation, UnionType) or annotation is Union:
        for argument in get_args(annotation):
            yield from _models(argument)


def _in_document(loc: Path) -> Path:
    """loc without the names that pydantic adds for the members of a union."""
    return tuple(
        part for part in loc if isinstance(part, int) or not re.search(r"[\[\]]|^function-|^constrained-", part)
    )


def _by_line(faults: Iterable[Fault], own: str) -> list[Fault]:
    """Those of other files, which this one names, behind its own."""
    return sorted(faults, key=lambda fault: (fault.file != own, fault.file, fault.line is None, fault.line or 0))
