"""`collectors: dagster`."""

from collections.abc import Mapping

from pydantic import Field, field_validator

from watchtower.config.polled import PushedConfig
from watchtower.config.types import Section, WebAddress
from watchtower.secrets import Secret


class DagsterSource(PushedConfig):
    """One Dagster: the webserver of a deployment, or a deployment of Dagster+. namespace: `__repository__`, if it sends
    OpenLineage events, too: then both meet."""

    base_url: WebAddress = Field(description="of the webserver, e.g. https://dagster.example.com")
    api_token: Secret | None = Field(default=None, description="a user token of Dagster+")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.rstrip("/").removesuffix("/graphql")

    def headers(self) -> Mapping[str, str]:
        return {"Dagster-Cloud-Api-Token": self.api_token.reveal()} if self.api_token else {}


class DagsterConfig(Section):
    """`collectors: {dagster: …}`."""

    sources: tuple[DagsterSource, ...] = Field(default=(), description="what is asked")
