"""PagerDuty: one alert for each group episode, triggered, acknowledged and resolved under the episode's key.

Sources: PagerDuty's Events API v2 reference (and its Events API v1, for `service_key`), Alertmanager's
`pagerduty_config`. PagerDuty folds events of one `dedup_key` into the open alert and cannot be asked what it has, so
what may have arrived is sent again. A trigger after its resolve opens a new incident: each episode has a key of its
own, and the outbox keeps their order.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from alerting.channels.outward import accepted, json_object, login_headers, reveal
from alerting.channels.settings import HttpConfig, Literally, Settings
from alerting.channels.webhook import rfc3339
from alerting.escaping import clean, one_line, safe_id, shorten, web_link
from alerting.rendering import Rendered, common_labels, render, subject_of
from alerting.wording import Link
from watchtower.config.types import Duration
from watchtower.errors import Fault, Reason, Transient
from watchtower.model.alert import Notice, NoticeReason, Receipt, Severity
from watchtower.model.links import incident_url
from watchtower.ports import ChannelContext, HttpAnswer
from watchtower.secrets import Secret

URL = "https://events.pagerduty.com/v2/enqueue"
TIMEOUT_S = 10.0
MAX_SUMMARY = 1024  # characters; Events API v2, `payload.summary`
MAX_FIELD = 255  # of class, component, group, source
MAX_DETAIL, MAX_DETAILS = 2000, 40  # with MAX_LINKS far below the 512 kB of an event
MAX_LINKS = 20
CLIENT = "Watchtower"
SEVERITIES = {Severity.PAGE: "critical", Severity.TICKET: "warning", Severity.INFO: "info"}

_V1_PATH = "/generic/2010-04-15/create_event.json"
_KEYS = ("routing_key", "routing_key_file", "service_key", "service_key_file")
_WORDS = ("severity", "client", "client_url", "source", "class", "component", "group")  # literals are used as they are


class _Attachment(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    href: str = ""

    @property
    def is_template(self) -> bool:
        return any(_is_template(value) for value in self.model_dump().values())


class PagerDutyLink(_Attachment):
    text: str = ""


class PagerDutyImage(_Attachment):
    src: str
    alt: str = ""

    @field_validator("src")
    @classmethod
    def _https(cls, value: str) -> str:
        if not value.startswith("https://") and not _is_template(value):
            raise ValueError(f"{value!r}: PagerDuty shows only images from https addresses")
        return value


class PagerDutyConfig(Settings):
    """`pagerduty_configs`, with Alertmanager's keys. routing_key: of an integration of Events API v2; service_key: of
    one of Events API v1. severity: for all events, instead of that of their alerts."""

    send_resolved: bool = True
    routing_key: Secret | None = None
    routing_key_file: str | None = None
    service_key: Secret | None = None
    service_key_file: str | None = None
    url: Literally = URL
    client: str = ""
    client_url: str = ""
    description: Any = None
    severity: str = ""
    source: str = ""
    class_: str = Field("", alias="class")
    component: str = ""
    group: str = ""
    details: Mapping[str, Any] = {}
    links: tuple[PagerDutyLink, ...] = ()
    images: tuple[PagerDutyImage, ...] = ()
    http_config: HttpConfig = HttpConfig()
    timeout: Duration = TIMEOUT_S

    global_keys: ClassVar[Mapping[str, str]] = {"url": "pagerduty_url", "http_config": "http_config"}
    ignored: ClassVar[frozenset[str]] = frozenset({"description"})

    @field_validator("severity")
    @classmethod
    def _known_severity(cls, value: str) -> str:
        if value and not _is_template(value) and value not in ("critical", "error", "warning", "info"):
            raise ValueError(f"{value!r}: give critical, error, warning or info, or leave it out")
        return value

    @model_validator(mode="after")
    def _one_key(self) -> "PagerDutyConfig":
        given = [key for key in _KEYS if getattr(self, key)]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"give exactly one of {', '.join(_KEYS)}; {found}")
        return self

    @property
    def shows_acks(self) -> bool:
        """Who has it in Watchtower stops PagerDuty's escalation too."""
        return True

    @property
    def is_v1(self) -> bool:
        return bool(self.service_key or self.service_key_file)

    def word(self, name: str) -> str:
        """The literal under a key of _WORDS, "" if there is none."""
        value = str(getattr(self, "class_" if name == "class" else name))
        return "" if _is_template(value) else one_line(value)

    def _warnings(self) -> Iterator[Fault]:
        yield from super()._warnings()
        found = [name for name in _WORDS if _is_template(getattr(self, "class_" if name == "class" else name))]
        found += [f"details.{name}" for name, value in self.details.items() if _is_template(value)]
        found += [f"links[{index}]" for index, link in enumerate(self.links) if link.is_template]
        found += [f"images[{index}]" for index, image in enumerate(self.images) if image.is_template]
        for path in found:
            yield Fault(path, "a Go template, which Watchtower does not run; its own value is sent", "remove the key")


class PagerDuty:
    name: ClassVar[str] = "pagerduty"
    Config: ClassVar[type[PagerDutyConfig]] = PagerDutyConfig
    settle_s: ClassVar[float] = 10.0  # an event that was sent late must not land after the resolve of its episode
    can_look_up: ClassVar[bool] = False
    keyed: ClassVar[bool] = True  # by dedup_key, while the alert is open
    rings: ClassVar[bool] = True

    def __init__(self, config: PagerDutyConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context

    def deliver(self, notice: Notice) -> Receipt:
        config, context = self._config, self._context
        if config.is_v1:
            key = reveal(context, config.service_key, config.service_key_file) or ""
            event, url = event_v1(notice, key, config), config.url.removesuffix("/v2/enqueue") + _V1_PATH
        else:
            key = reveal(context, config.routing_key, config.routing_key_file) or ""
            event, url = event_v2(notice, key, config), config.url
        answer = context.http.request(
            "POST",
            url,
            headers={**login_headers(context, config.http_config), "Content-Type": "application/json"},
            body=json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"),
            timeout_s=min(config.timeout or TIMEOUT_S, TIMEOUT_S),
            ca_file=config.http_config.tls_config.ca_file,
        )
        self._check(answer)
        return Receipt(f"pagerduty:{_dedup_key(notice)}", {"dedup_key": _dedup_key(notice)})

    def look_up(self, notice: Notice) -> Receipt | None:
        return None

    def _check(self, answer: HttpAnswer) -> None:
        if self._config.is_v1 and answer.status == 403:
            raise Transient(Reason.RATE_LIMITED, "pagerduty: HTTP 403, by which Events API v1 says: too many events")
        key = "service_key" if self._config.is_v1 else "routing_key"
        remedy = f"check {key}: the integration key of a service that is not disabled" if answer.status == 400 else ""
        accepted(answer, self._context.clock.now(), "pagerduty", remedy)
        said = json_object(answer, "pagerduty")
        if said.get("status") != "success":  # a proxy's 200 is not PagerDuty's word
            message = f"pagerduty: HTTP {answer.status} without status 'success'"
            raise Transient(Reason.BAD_ANSWER, message, outcome_unknown=True)


def action_of(notice: Notice) -> str:
    """What PagerDuty shall do with the alert of the episode."""
    if notice.is_resolved and notice.reason is not NoticeReason.TEST:
        return "resolve"
    if notice.reason is NoticeReason.ACKNOWLEDGED and notice.acknowledged_by is not None:
        return "acknowledge"
    return "trigger"


def event_v2(notice: Notice, routing_key: str, config: PagerDutyConfig) -> dict[str, Any]:
    """The body of `POST /v2/enqueue`. Only a trigger carries more than the key of its alert."""
    action = action_of(notice)
    event = {"routing_key": routing_key, "event_action": action, "dedup_key": _dedup_key(notice)}
    if action != "trigger":
        return event
    rendered = render(notice)
    images = [image for image in config.images if not image.is_template]
    return {
        **event,
        **_client(notice, config),
        "payload": _payload(notice, rendered, config),
        "links": [{"href": link.url, "text": link.text} for link in _links(rendered, config)],
        "images": [image.model_dump(exclude_defaults=True) for image in images],
    }


def event_v1(notice: Notice, service_key: str, config: PagerDutyConfig) -> dict[str, Any]:
    """The body of Events API v1, which Alertmanager speaks to a `service_key`."""
    action, rendered = action_of(notice), render(notice)
    event = {"service_key": service_key, "event_type": action, "incident_key": _dedup_key(notice)}
    described = {"description": shorten(rendered.title, MAX_SUMMARY)}
    if action != "trigger":
        return {**event, **described}
    links = [{"type": "link", "href": link.url, "text": link.text} for link in _links(rendered, config)]
    images = [image.model_dump(exclude_defaults=True) for image in config.images if not image.is_template]
    return {
        **event,
        **described,
        **_client(notice, config),
        "details": _details(notice, rendered, config),
        "contexts": [*links, *({"type": "image", **image} for image in images)],
    }


def _dedup_key(notice: Notice) -> str:
    return safe_id(notice.episode_key)


def _client(notice: Notice, config: PagerDutyConfig) -> dict[str, str]:
    url = web_link(config.word("client_url") or incident_url(notice.external_url, notice.incident_id))
    return {"client": config.word("client") or CLIENT, **({"client_url": url} if url else {})}


def _payload(notice: Notice, rendered: Rendered, config: PagerDutyConfig) -> dict[str, Any]:
    shown = notice.firing or notice.alerts
    labels = common_labels(shown)
    began = min((alert.starts_at or alert.active_since for alert in shown), default=notice.now)
    own = {
        "class": labels.get("kind", ""),
        "component": subject_of(shown[0]) if len({subject_of(alert) for alert in shown}) == 1 else "",
        "group": labels.get("team", ""),
    }
    words = {name: one_line(config.word(name) or value, MAX_FIELD) for name, value in own.items()}
    severity = "info" if notice.reason is NoticeReason.TEST else SEVERITIES[notice.severity]
    return {
        "summary": shorten(rendered.title, MAX_SUMMARY),
        "severity": config.word("severity") or severity,
        "source": one_line(config.word("source") or labels.get("source") or CLIENT, MAX_FIELD),
        "timestamp": rfc3339(began),
        **{name: value for name, value in words.items() if value},
        "custom_details": _details(notice, rendered, config),
    }


def _details(notice: Notice, rendered: Rendered, config: PagerDutyConfig) -> dict[str, Any]:
    """What was found, by name, and what the file adds; the file's own word wins. Bounded in number and length."""
    found: dict[str, Any] = {"What": rendered.summary, **({"News": rendered.news} if rendered.news else {})}
    for section in rendered.sections:
        if section.heading and len(notice.alerts) > 1:
            rows = (*(f"{name}: {value}" for name, value in section.facts), *section.lines, section.body)
            found[section.heading] = "\n".join(row for row in rows if row)
            continue
        found.update(section.facts)
        found.update({"More": "\n".join(section.lines)} if section.lines else {})
        found.update({"Error": section.body} if section.body else {})
    found["Alerts firing"], found["Alerts resolved"] = len(notice.firing), len(notice.resolved)
    given = {one_line(name): value for name, value in config.details.items() if not _is_template(value)}
    merged = {**given, **{name: value for name, value in found.items() if name not in given}}
    return {shorten(name, MAX_FIELD): _bounded(value) for name, value in list(merged.items())[:MAX_DETAILS]}


def _bounded(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return shorten(clean(text), MAX_DETAIL)


def _links(rendered: Rendered, config: PagerDutyConfig) -> list[Link]:
    ours = [*rendered.links, *(link for section in rendered.sections for link in section.links)]
    given = [Link(one_line(link.text or link.href, MAX_FIELD), web_link(link.href)) for link in config.links]
    by_url = {link.url: link for link in (*given, *ours) if link.url and not _is_template(link.url)}
    return list(by_url.values())[:MAX_LINKS]


def _is_template(value: Any) -> bool:
    return "{{" in (value if isinstance(value, str) else json.dumps(value, default=str))
