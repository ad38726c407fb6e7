"""The page of sources: where runs are heard of, and how far each is known."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import Shell


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source that is asked, or one that sends. tone, state: of how it stands, class and words; how: it is heard;
    news: its newest word on any run; read: up to when everything is known, None for one that sends; delay_s: what it is
    behind, or how long its newest word was on its way. errors: of late, "" for none; tells: what it says it has; wrong:
    what is amiss, in sentences."""

    name: str
    namespace: str
    how: str
    tone: str
    state: str
    news: datetime | None
    read: datetime | None
    delay_s: float | None
    pipelines: int
    errors: str
    tells: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourcesView:
    """rows: what is wrong first, then by name."""

    shell: Shell
    rows: tuple[SourceRow, ...]
