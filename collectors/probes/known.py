"""What a probe saw last of each dataset, kept in its source's cursor: what is seen again as it was is no news.

Of columns only a digest is kept: a cursor is written with each page that brings news.
"""

from collections.abc import Collection, Mapping
from hashlib import blake2b

import msgspec

from collectors.probes.observed import Observation
from watchtower.model.run import DatasetRef

_PART = "/"  # no id of a dataset has it


class Known:
    def __init__(self, seen: Mapping[str, Observation]) -> None:
        self._seen = dict(seen)

    @classmethod
    def of(cls, cursor: str | None) -> "Known":
        """Nothing, where the cursor says something else."""
        if not cursor:
            return cls({})
        try:
            return cls(msgspec.json.decode(cursor, type=dict[str, Observation]))
        except msgspec.DecodeError:
            return cls({})

    def last(self, ref: DatasetRef, part: str = "") -> Observation | None:
        """part: of a dataset that is looked at by its parts."""
        return self._seen.get(_key(ref, part))

    def take(self, seen: Observation, part: str = "") -> bool:
        """Whether it is news: another content than before, or numbers, which are told every time."""
        key, new = _key(seen.ref, part), _brief(seen)
        last = self._seen.get(key)
        news = last is None or bool(seen.numbers) or msgspec.structs.replace(last, seen=seen.seen) != new
        if news:
            self._seen[key] = new
        return news

    def keep(self, ref: DatasetRef, parts: Collection[str]) -> None:
        """Forget the parts of a dataset that are not looked at any more."""
        wanted = {_key(ref, part) for part in parts}
        begin = _key(ref, "")
        for key in [each for each in self._seen if each.startswith(begin + _PART) and each not in wanted]:
            del self._seen[key]

    def cursor(self) -> str:
        return msgspec.json.encode(self._seen, order="sorted").decode()


def _key(ref: DatasetRef, part: str) -> str:
    return f"{ref.id}{_PART}{part}" if part else ref.id


def _brief(seen: Observation) -> Observation:
    if seen.fields is None:
        return seen
    digest = blake2b(msgspec.json.encode(seen.fields), digest_size=12).hexdigest()
    return msgspec.structs.replace(seen, fields=(("", digest),))
