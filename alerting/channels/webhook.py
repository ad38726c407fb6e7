"""Generic webhook: Alertmanager's JSON payload (version 4), signed as Standard Webhooks describes.

Sources: Alertmanager's `webhook_config` documentation; the Standard Webhooks specification ("Signature scheme",
"Operational considerations"). The receiver removes repeats by `webhook-id`, which is the same in every attempt.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from alerting.channels.outward import accepted, login_headers, reveal
from alerting.channels.settings import HttpConfig, Settings, literal
from alerting.escaping import safe_id, web_link
from alerting.rendering import common_labels
from alerting.wording import flat
from watchtower.config.types import Duration
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Alert, AlertState, Notice, NoticeReason, Receipt
from watchtower.model.links import incident_url
from watchtower.ports import ChannelContext
from watchtower.secrets import Secret

TIMEOUT_S = 10.0  # promise P10: a send ends well before its lease of 30 s
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # Standard Webhooks, "Signing secret"

# Alertmanager's words for its own reasons (notify/notify.go); the others are Watchtower's.
_REASONS = {
    NoticeReason.FIRST: "first notification",
    NoticeReason.NEW_ALERTS: "new alerts added",
    NoticeReason.RESOLVED_ALERTS: "some alerts resolved",
    NoticeReason.ALL_RESOLVED: "all alerts resolved",
    NoticeReason.REPEAT: "repeat interval elapsed",
    NoticeReason.REDIAL: "nobody has acknowledged it",
    NoticeReason.ACKNOWLEDGED: "acknowledged",
    NoticeReason.CAUSE_FOUND: "cause found",
    NoticeReason.FIRED_AND_RESOLVED: "all alerts resolved",
    NoticeReason.TEST: "test",
}


class WebhookConfig(Settings):
    """`webhook_configs`, with Alertmanager's keys and `signing_secrets`: one `whsec_…`, or two while one is rotated."""

    send_resolved: bool = True
    url: Secret | None = None
    url_file: str | None = None
    http_config: HttpConfig = HttpConfig()
    max_alerts: int = Field(0, ge=0)
    timeout: Duration = TIMEOUT_S
    payload: dict[str, Any] | None = None
    signing_secrets: tuple[Secret, ...] = Field((), max_length=2)

    global_keys: ClassVar[Mapping[str, str]] = {"http_config": "http_config"}
    ignored: ClassVar[frozenset[str]] = frozenset({"payload"})

    @field_validator("url", mode="before")
    @classmethod
    def _no_template(cls, value: Any) -> Any:
        return literal(value)

    @model_validator(mode="after")
    def _one_address(self) -> "WebhookConfig":
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give exactly one of url and url_file")
        return self


class Webhook:
    name: ClassVar[str] = "webhook"
    Config: ClassVar[type[WebhookConfig]] = WebhookConfig
    settle_s: ClassVar[float] = 0.0
    can_look_up: ClassVar[bool] = False
    keyed: ClassVar[bool] = True  # by webhook-id, which the specification tells receivers to remember
    rings: ClassVar[bool] = False

    def __init__(self, config: WebhookConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context

    def deliver(self, notice: Notice) -> Receipt:
        config, context = self._config, self._context
        url = reveal(context, config.url, config.url_file) or ""
        body = json.dumps(payload(notice, config.max_alerts), ensure_ascii=False, separators=(",", ":"))
        encoded = body.encode("utf-8", "replace")
        now = context.clock.now()
        webhook_id = safe_id(notice.key)
        headers = {
            **login_headers(context, config.http_config),
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            **self._signatures(webhook_id, int(now.timestamp()), encoded),
        }
        ca_file = config.http_config.tls_config.ca_file
        timeout_s = min(config.timeout or TIMEOUT_S, TIMEOUT_S)
        answer = context.http.request("POST", url, headers=headers, body=encoded, timeout_s=timeout_s, ca_file=ca_file)
        if answer.status in (404, 405):
            # Standard Webhooks counts 404 among the failures to retry: a receiver that is being redeployed answers so.
            raise Transient(Reason.NOT_FOUND, f"webhook: HTTP {answer.status}; check the url")
        accepted(answer, now, "webhook")
        return Receipt(f"webhook:{webhook_id}")

    def look_up(self, notice: Notice) -> Receipt | None:
        return None

    def _signatures(self, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        secrets = [reveal(self._context, secret) or "" for secret in self._config.signing_secrets]
        if not secrets:
            return {}
        return {"webhook-signature": " ".join(sign(secret, webhook_id, timestamp, body) for secret in secrets)}


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. secret: `whsec_` and 24 to 64 bytes in base64.
    timestamp: whole seconds since the epoch. Raises Permanent(AUTH) for a secret that is none."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_signing_key(secret), content, hashlib.sha256)).decode()


def payload(notice: Notice, max_alerts: int = 0) -> dict[str, Any]:
    """Alertmanager's message, version 4, field by field. max_alerts 0: all."""
    shown = notice.alerts[:max_alerts] if max_alerts else notice.alerts
    backlink = web_link(incident_url(notice.external_url, notice.incident_id))
    alerts = [_alert(alert, backlink) for alert in shown]
    return {
        "receiver": notice.receiver,
        "status": notice.status,
        "alerts": alerts,
        "notification_reason": _REASONS[notice.reason],
        "groupLabels": dict(sorted(notice.group_labels.items())),
        "commonLabels": common_labels(shown),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": notice.external_url,
        "version": "4",
        "groupKey": notice.group_key or notice.group_hash,
        "truncatedAlerts": len(notice.alerts) - len(shown),
    }


def _alert(alert: Alert, backlink: str) -> dict[str, Any]:
    resolved = alert.state is AlertState.RESOLVED
    found = {f"evidence_{name}": value for name, value in flat(alert.evidence).items()}
    return {
        "status": "resolved" if resolved else "firing",
        "labels": dict(sorted(alert.labels.items())),
        "annotations": {**found, **alert.annotations},
        "startsAt": rfc3339(alert.starts_at or alert.active_since),
        "endsAt": rfc3339(alert.ends_at) if resolved and alert.ends_at else "0001-01-01T00:00:00Z",  # Go's zero time
        "generatorURL": backlink,
        "fingerprint": alert.fingerprint,
    }


def rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _common(annotations: Iterable[dict[str, str]]) -> dict[str, str]:
    pairs = [set(one.items()) for one in annotations]
    return dict(sorted(set[tuple[str, str]].intersection(*pairs))) if pairs else {}


def _signing_key(secret: str) -> bytes:
    remedy = f"make one with: echo whsec_$(head -c {MIN_SECRET_BYTES + 8} /dev/urandom | base64)"
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Permanent(Reason.AUTH, f"webhook: a signing secret is not base64; {remedy}") from error
    if not secret.startswith("whsec_") or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        wanted = f"whsec_ and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64"
        raise Permanent(Reason.AUTH, f"webhook: a signing secret is not {wanted}; {remedy}")
    return key
