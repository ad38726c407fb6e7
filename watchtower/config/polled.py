"""What every source that is asked has in the configuration: a name, a namespace for its jobs, and how often."""

import re
from typing import Annotated, ClassVar, Protocol, TypeVar

from pydantic import AfterValidator, Field, field_validator

from watchtower.config.types import PositiveDuration, Section

SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHORTEST_S = 5.0


def _named(value: str) -> str:
    if not SOURCE_NAME.fullmatch(value):
        raise ValueError(f"name {value!r}: use up to 64 letters, digits, dots, hyphens and underscores")
    return value


SourceName = Annotated[str, AfterValidator(_named)]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def each_named_once(sources: tuple[N, ...]) -> tuple[N, ...]:
    """sources themselves. Raises ValueError for two of one name."""
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two sources are called {twice[0]!r}; each needs a name of its own")
    return sources


class PolledConfig(Section):
    """One source below `collectors: {KIND: {sources: […]}}`; a poller's own keys come with a subclass of it.

    speaks_openlineage: its jobs may also be told by OpenLineage, in the same namespace: then they belong to the source
    that OpenLineage's jobs belong to, so that both meet; else to a source of its own name."""

    speaks_openlineage: ClassVar[bool] = False

    name: SourceName = Field(description="of the source, as alerts and `watchtower sources` call it")
    namespace: str | None = Field(
        default=None, min_length=1, max_length=256, description="of its jobs; default: the source's name"
    )
    environment: str | None = Field(
        default=None, min_length=1, max_length=64, description="of all its runs that name none, e.g. prod"
    )
    every: PositiveDuration = Field(default=60.0, description="how often it is asked; at least 5s")
    lookback: PositiveDuration = Field(default=86_400.0, description="how far back the very first poll reads")

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, value: float) -> float:
        if value < SHORTEST_S:
            raise ValueError(f"every {value:g}s is too often; ask at most every {SHORTEST_S:g}s")
        return value

    @property
    def of_jobs(self) -> str:
        """The namespace of its jobs."""
        return self.namespace or self.name


class PushedConfig(PolledConfig):
    """A source that OpenLineage may tell of as well, whoever asks it."""

    speaks_openlineage: ClassVar[bool] = True

    pushes: bool = Field(default=False, description="it sends OpenLineage events, too: that none comes is told")
