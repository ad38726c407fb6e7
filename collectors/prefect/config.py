"""`collectors: prefect`."""

import base64
from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator

from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.secrets import Secret


class PrefectSource(PolledConfig):
    """One Prefect server, or one workspace of Prefect Cloud."""

    base_url: WebAddress = Field(description="of the API: what `prefect config view` calls PREFECT_API_URL")
    api_key: Secret | None = Field(default=None, description="an API key of Prefect Cloud")
    password: Secret | None = Field(default=None, description="`user:password` of a server with basic auth")
    ui_url: WebAddress | None = Field(default=None, description="of the pages; default: what follows from `base_url`")
    every: PositiveDuration = Field(default=30.0, description="how often it is asked; at least 5s")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_way_in(self) -> "PrefectSource":
        if self.api_key and self.password:
            raise ValueError("give `api_key` (Prefect Cloud) or `password` (a server of your own), not both")
        return self

    def headers(self) -> Mapping[str, str]:
        if self.api_key:
            return {"Authorization": f"Bearer {self.api_key.reveal()}"}
        if self.password:
            return {"Authorization": f"Basic {base64.b64encode(self.password.reveal().encode()).decode()}"}
        return {}


class PrefectConfig(Section):
    """`collectors: {prefect: …}`."""

    sources: tuple[PrefectSource, ...] = Field(default=(), description="what is asked")
