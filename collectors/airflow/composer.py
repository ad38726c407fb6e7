"""Cloud Composer: an Airflow that is signed in to at Google, and the health of the environment that it runs in.

Airflow itself is asked like any other. The environment's state comes of Composer's own API: one that is being updated,
or has an error, explains why nothing is scheduled. Source: Cloud Composer API v1, "projects.locations.environments".
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from pydantic import Field

from collectors.asking import JsonApi
from collectors.google.token import REMEDY, GoogleConfig, Tokens
from watchtower.config.types import WebAddress
from watchtower.errors import Permanent, Reason
from watchtower.model.source import Problem
from watchtower.ports import PollContext

STATES: Final[Mapping[str, str]] = {
    "CREATING": "is still being created",
    "UPDATING": "is being updated: tasks may be interrupted and wait",
    "DELETING": "is being deleted",
    "ERROR": "is in an error state, and cannot be used until that is repaired",
}


class ComposerConfig(GoogleConfig):
    """An environment of Cloud Composer."""

    environment: str = Field(
        pattern=r"^projects/[^/\s]+/locations/[^/\s]+/environments/[^/\s]+$",
        description="projects/PROJECT/locations/REGION/environments/NAME",
    )
    base_url: WebAddress = Field(
        default="https://composer.googleapis.com", description="another address than Composer's own"
    )


class Composer:
    """collectors.airflow.authentication.Authentication, and what is wrong with the environment."""

    def __init__(self, config: ComposerConfig, context: PollContext, name: str) -> None:
        what = f"airflow source {name!r}"
        self._environment = config.environment
        self._tokens = Tokens(config, context, what)
        self._api = JsonApi(context, config.base_url, what, self._tokens.headers, REMEDY)

    def headers(self, version: int) -> Mapping[str, str]:
        return self._tokens.headers()

    def forget(self) -> bool:
        return self._tokens.forget()

    def problems(self) -> list[Problem]:
        """Raises Transient or Permanent; an account that may not see the environment sees no problem of it."""
        try:
            told = self._api.get(f"v1/{quote(self._environment, safe='/')}")
        except Permanent as error:
            if error.reason is not Reason.AUTH:
                raise
            return []
        state = str(told.get("state"))
        if state not in STATES:
            return []
        name = self._environment.rpartition("/")[2]
        return [Problem("environment", f"the Composer environment {name} {STATES[state]}")]
