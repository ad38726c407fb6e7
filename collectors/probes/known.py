"""What a probe saw last of each dataset, kept in its source's cursor: what is seen again as it was is no news.

Of columns only a digest is kept: a cursor is written with each page that brings news.
"""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from collectors.probes.observed import Observation
from watchtower.model.run import DatasetRef


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

    def last(self, ref: DatasetRef) -> Observation | None:
        return self._seen.get(ref.id)

    def take(self, seen: Observation) -> bool:
        """Whether it is news: another content than before, or numbers, which are told every time."""
        last, new = self._seen.get(seen.ref.id), _brief(seen)
        news = last is None or bool(seen.numbers) or msgspec.structs.replace(last, seen=seen.seen) != new
        if news:
            self._seen[seen.ref.id] = new
        return news

    def cursor(self) -> str:
        return msgspec.json.encode(self._seen, order="sorted").decode()


def _brief(seen: Observation) -> Observation:
    if seen.fields is None:
        return seen
    digest = blake2b(msgspec.json.encode(seen.fields), digest_size=12).hexdigest()
    return msgspec.structs.replace(seen, fields=(("", digest),))
