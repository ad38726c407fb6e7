"""What every source at Google Cloud that is asked has in common: a project, a region, and a token."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from pydantic import Field

from collectors.asking import JsonApi, Row, members
from collectors.google.token import REMEDY, GoogleConfig, Tokens, missing
from collectors.paging import pages
from collectors.polled import unless_gone
from collectors.source import ListedSource, PollerOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import WebAddress
from watchtower.errors import ConfigError, Permanent, Reason
from watchtower.ports import PollContext


class GoogleSource(PolledConfig, GoogleConfig):
    """One project in one region."""

    project: str = Field(pattern=r"^[a-z0-9.:-]{1,100}$", description="id of the project")
    region: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="of the service, e.g. europe-west3")
    base_url: WebAddress | None = Field(default=None, description="another address than Google's own")


G = TypeVar("G", bound=GoogleSource)


class GooglePoller(PollerOf):
    """ports.Poller for one service of Google Cloud."""

    def check(self, context: PollContext) -> None:
        super().check(context)
        named = ((f"collectors.{self.kind}.sources[{at}]", each) for at, each in enumerate(self.config.sources))
        faults = [fault for path, each in named for fault in missing(each, context, path)]
        if faults:
            raise ConfigError(faults)


class GoogleListed(ListedSource[G]):
    """ports.PolledSource for one service. address: of it in the source's region."""

    def __init__(self, config: G, context: PollContext, address: str) -> None:
        super().__init__(config, context)
        self._tokens = Tokens(config, context, self.what)
        self.api = JsonApi(context, config.base_url or address, self.what, self._tokens.headers, REMEDY)

    @property
    def clock_at(self) -> datetime | None:
        return self.api.clock_at

    def get(self, path: str) -> Row:
        """path: below `v1/`. A token that is refused is forgotten, so the next poll logs in anew."""
        try:
            return self.api.get(f"v1/{path}")
        except Permanent as error:
            if error.reason is Reason.AUTH:
                self._tokens.forget()
            raise

    def found(self, path: str) -> Row | None:
        """None for what is not there any more."""
        return unless_gone(lambda: self.get(path))

    def answers(self, path: str, name: str, **asked: Any) -> Iterator[list[Row]]:
        """All pages of a list whose rows stand under name."""

        def ask(token: str) -> Row:
            following = {"pageToken": token} if token else {}
            return self.get(f"{path}?{urlencode(asked | following)}")

        for answer in pages(f"{self.what}: {path}", ask, lambda answer: answer.get("nextPageToken")):
            yield members(answer, name)
