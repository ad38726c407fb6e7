"""Label sets, their fingerprint, and matchers, with Alertmanager's semantics.

Sources: Alertmanager's `labels` package and the `matchers` section of its configuration documentation; the
fingerprint is Prometheus' FNV-1a over the sorted labels (`common/model/signature.go`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchtower.errors import BadInput
from watchtower.model import patterns

Labels = Mapping[str, str]

OTHERS = "others"  # the party of what nobody is known to have

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF


def fingerprint(labels: Labels) -> str:
    """16 hexadecimal digits: FNV-1a (64 bit) over name, 0xff, value, 0xff of each label, sorted by name."""
    state = _FNV_OFFSET
    for name in sorted(labels):
        for byte in name.encode() + b"\xff" + labels[name].encode("utf-8", "surrogatepass") + b"\xff":
            state = ((state ^ byte) * _FNV_PRIME) & _MASK
    return f"{state:016x}"


def party_of(labels: Labels) -> str:
    """Those who share a turn where much is due at once: a team; where none is known, whatever has one namespace."""
    return labels.get("team") or labels.get("namespace") or OTHERS


OPERATORS = ("=~", "!~", "!=", "=")
_MATCHER = re.compile(r'^\s*([^\s=!~"{},]+|"(?:[^"\\]|\\.)*")\s*(=~|!~|!=|=)\s*(.*?)\s*$', re.DOTALL)
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Matcher:
    """One condition on one label. A missing label equals the empty string. Regular expressions are anchored."""

    name: str
    op: str
    value: str

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise BadInput(f"matcher on {self.name!r}: unknown operator {self.op!r}; known: {', '.join(OPERATORS)}")
        if self.op in ("=~", "!~"):
            try:
                patterns.check(self.value)
            except BadInput as error:
                raise BadInput(f"matcher {self}: {error}") from error

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.name, "")
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        return patterns.fits(self.value, value) == (self.op == "=~")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.op}"{escaped}"'


def parse_matcher(text: str) -> Matcher:
    """Parse `name="value"`, `name=value`, `name=~"re"` …; raises BadInput that shows the form wanted."""
    found = _MATCHER.match(text)
    if not found:
        raise BadInput(f'matcher {text!r} is not of the form name="value", name!="value", name=~"regex", name!~"regex"')
    name, op, value = found.groups()
    return Matcher(_unquote(name), op, _unquote(value))


def parse_matchers(texts: str | Iterable[str]) -> tuple[Matcher, ...]:
    """Parse one string such as `{a="b", c=~"d.*"}` or a list of such matchers; commas inside quotes are kept."""
    if isinstance(texts, str):
        texts = [texts]
    return tuple(parse_matcher(part) for text in texts for part in _split(text))


def all_match(matchers: Iterable[Matcher], labels: Labels) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)


def _unquote(text: str) -> str:
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return text
    return _UNQUOTE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])


def _split(text: str) -> Iterable[str]:
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    part, quoted, escaped = "", False, False
    for char in text:
        if char == "," and not quoted:
            if part.strip():
                yield part
            part = ""
            continue
        if char == '"' and not escaped:
            quoted = not quoted
        escaped = char == "\\" and not escaped
        part += char
    if part.strip():
        yield part
