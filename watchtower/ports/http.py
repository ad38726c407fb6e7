"""What leaves this machine by HTTP: the guarded client, as channels, desks and collectors see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class HttpClient(Protocol):
    """The guarded outbound client (watchtower.outbound). Raises Transient/Permanent with outcome_unknown set rightly:
    False while nothing can have reached the server, True after the first byte was sent. Never follows redirects."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
        ca_file: str | None = None,
    ) -> HttpAnswer: ...

    def check(self, url: str) -> None:
        """Raise Permanent(REFUSED_ADDRESS) with the line to add to `outbound.allow` if the guard refuses url."""
        ...
