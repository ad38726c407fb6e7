"""`/hooks/NAME` of CI systems: each proves itself in its own way, and what it brings is kept as it came.

GitHub signs the body (X-Hub-Signature-256, "Validating webhook deliveries"), GitLab sends a token in a header
(X-Gitlab-Token), the Notification plugin of Jenkins can do neither, so its secret ends the address.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchtower.errors import Permanent, Reason
from watchtower.model.hook import (
    Distrust,
    HookAct,
    HookAnswer,
    HookRefused,
    HookRequest,
    HookResult,
    Keep,
    Outcome,
)
from watchtower.secrets import Secret


class CiHook:
    """One configured hook. secrets: those that are good now, two while one is rotated."""

    def __init__(self, name: str, system: str, secrets: Sequence[Secret]) -> None:
        self.name = name
        self._system = system
        self._secrets = secrets

    def read(self, request: HookRequest, now: datetime) -> HookAct:
        """Raises HookRefused, or DeliveryError while no secret can be read."""
        self._believe(request)
        try:
            payload: Any = msgspec.json.decode(request.body, type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HookRefused(Distrust.UNREADABLE, f"the body is not JSON: {error}") from error
        kept = {"system": self._system, "hook": self.name, "event": _event(request), "payload": payload}
        return Keep("ci", msgspec.json.encode(kept))

    def answer(self, request: HookRequest, act: HookAct, result: HookResult) -> HookAnswer:
        if result.outcome is Outcome.UNAVAILABLE:
            return HookAnswer(b"nothing can take it now; send it again", status=503)
        return HookAnswer(b"OK")

    def _believe(self, request: HookRequest) -> None:
        if self._system == "github":
            sent = request.headers.get("x-hub-signature-256", "")
        elif self._system == "gitlab":
            sent = request.headers.get("x-gitlab-token", "")
        else:
            sent = request.path.strip("/")
        if not sent:
            raise HookRefused(Distrust.UNSIGNED, f"no proof of {self._system} came with it")
        given = sent.encode("utf-8", "surrogatepass")
        if not any(hmac.compare_digest(given, self._proof(request, secret)) for secret in self._known()):
            raise HookRefused(Distrust.SIGNATURE, f"its proof is not that of the secret of the hook {self.name!r}")

    def _proof(self, request: HookRequest, secret: bytes) -> bytes:
        if self._system != "github":
            return secret
        return b"sha256=" + hmac.new(secret, request.body, hashlib.sha256).hexdigest().encode()

    def _known(self) -> list[bytes]:
        try:
            return [secret.reveal().encode() for secret in self._secrets]
        except Exception as error:
            raise Permanent(Reason.REJECTED, f"the secret of the hook {self.name!r} cannot be read: {error}") from error


def _event(request: HookRequest) -> str:
    return (request.headers.get("x-github-event") or request.headers.get("x-gitlab-event") or "")[:100]
