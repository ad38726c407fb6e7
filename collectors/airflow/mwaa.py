"""Amazon MWAA: Airflow's API is asked through AWS's (InvokeRestApi), with AWS's credentials and no password of Airflow.

The answer is that of Airflow's own API, v1 or v2 as the environment's version has it; the rest of the collector is the
same. Source: Amazon MWAA API reference, "InvokeRestApi". It may give at most 6 MB, and needs `airflow:InvokeRestApi`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from collectors.aws.client import AwsConfig, client, translated
from watchtower.errors import Permanent, Reason
from watchtower.ports import Clock, HttpAnswer

FRESH_S: Final = 900.0  # a client's credentials, if it assumed a role, are good for an hour
_ANSWERED: Final = ("RestApiClientException", "RestApiServerException")  # Airflow itself said 4xx or 5xx


class MwaaConfig(AwsConfig):
    """An environment of Amazon MWAA."""

    environment: str = Field(min_length=1, max_length=80, description="name of the environment")


class InvokedAirflow:
    """ports.HttpClient for the addresses of one environment's Airflow. make: a client of the service."""

    def __init__(self, config: MwaaConfig, clock: Clock, check: Callable[[str], None]) -> None:
        self._environment = config.environment
        self._clock = clock
        self._check = check
        self._make: Callable[[], Any] = lambda: client("mwaa", config, check)
        self._made: tuple[float, Any] | None = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
        ca_file: str | None = None,
    ) -> HttpAnswer:
        """AWS wants the path below /api/v1 or /api/v2, and knows which of them it is."""
        parts = urlsplit(url)
        _, found, path = parts.path.partition("/api/v")
        if method != "GET" or not found:
            raise Permanent(Reason.REJECTED, f"mwaa InvokeRestApi: {method} {parts.path} is not asked through AWS")
        what = f"mwaa InvokeRestApi {self._environment} GET {path[1:]}"
        with translated(what):
            return self._invoked(path[1:], dict(parse_qsl(parts.query)))

    def check(self, url: str) -> None:
        self._check(url)

    def _invoked(self, path: str, query: Mapping[str, str]) -> HttpAnswer:
        invoking = self._client()
        try:
            said = invoking.invoke_rest_api(
                Name=self._environment, Path=path, Method="GET", QueryParameters=dict(query)
            )
        except invoking.exceptions.ClientError as error:
            said = error.response
            if said.get("Error", {}).get("Code") not in _ANSWERED:
                raise
        return HttpAnswer(int(said["RestApiStatusCode"]), {}, json.dumps(said.get("RestApiResponse")).encode())

    def _client(self) -> Any:
        now = self._clock.boottime()
        if self._made is None or now - self._made[0] > FRESH_S:
            self._made = (now, self._make())
        return self._made[1]
