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
from watchtower.errors import Permanent, Reason, Transient
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
        what = f"airflow of mwaa environment {self._environment}: InvokeRestApi GET {path[1:]}"
        with translated(what):
            said = self._invoked(path[1:], dict(parse_qsl(parts.query)))
        status = said.get("RestApiStatusCode")
        if not isinstance(status, int):
            raise Transient(Reason.BAD_ANSWER, f"{what}: the answer has no status of Airflow's")
        return HttpAnswer(status, _clock(said), json.dumps(said.get("RestApiResponse")).encode())

    def check(self, url: str) -> None:
        self._check(url)

    def _invoked(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        invoking = self._client()
        try:
            return invoking.invoke_rest_api(
                Name=self._environment, Path=path, Method="GET", QueryParameters=dict(query)
            )
        except invoking.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _ANSWERED:
                raise
            return error.response

    def _client(self) -> Any:
        now = self._clock.boottime()
        if self._made is None or now - self._made[0] > FRESH_S:
            self._made = (now, self._make())
        return self._made[1]


def _clock(said: Mapping[str, Any]) -> Mapping[str, str]:
    """The header Date of AWS's answer: Airflow's own headers are not told, and marks are not set by our clock."""
    date = said.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return {"date": date} if date else {}
