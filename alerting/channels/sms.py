"""Text messages through Twilio: short, in as few segments as they can be, answered by "1" where replies are taken.

Sources: Twilio's page of the Message resource; GSM alphabets and segments as in `segments`. Twilio has no idempotency
key: each text ends in a code made from the notice's key, by which it is looked up after an unknown outcome, and by
which a reply names it.
"""

import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from alerting.callbacks import Purpose, link
from alerting.channels import segments
from alerting.channels.phone import SmsConfig
from alerting.channels.twilio_api import TwilioApi
from alerting.channels.twilio_hook import TwilioHook, bound, subject_for
from alerting.escaping import one_line, web_link
from alerting.rendering import render
from watchtower.errors import Permanent
from watchtower.model.alert import Notice, NoticeReason, Receipt
from watchtower.model.hook import reference
from watchtower.model.links import incident_url
from watchtower.ports import ChannelContext

log = logging.getLogger(__name__)

CLOCK_MARGIN = timedelta(minutes=10)  # our clock against Twilio's; the code is our own, so a wide search does no harm
NEVER_SENT = frozenset({"failed", "undelivered", "canceled"})
_HEAD_AT_LEAST = 60  # characters for what is wrong; a link that leaves less is left out
_TAG = re.compile(r"\[(\w+)\] ")


class Sms:
    name: ClassVar[str] = "sms"
    Config: ClassVar[type[SmsConfig]] = SmsConfig
    Hook: ClassVar[type[TwilioHook]] = TwilioHook
    settle_s: ClassVar[float] = 10.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = True

    def __init__(self, config: SmsConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context

    def deliver(self, notice: Notice) -> Receipt:
        config = self._config
        sender = {"messaging_service_sid": config.messaging_service_sid} if config.messaging_service_sid else {}
        made = TwilioApi(self._context, config).text(
            to=config.to,
            body=text_of(notice, config.max_segments, replies=config.replies),
            **(sender or {"from_": config.from_}),
            **self._callback(notice),
        )
        return _receipt(str(made.sid))

    def look_up(self, notice: Notice) -> Receipt | None:
        named = self._context.proofs.named(notice.id)
        if named:
            return _receipt(named[0])
        mark = f"#{reference(notice.key)}"
        since = notice.first_attempt_at - CLOCK_MARGIN
        try:
            made = TwilioApi(self._context, self._config).texts(self._config.to, since)
        except Permanent as error:
            # A page matters more than a repeat: who cannot look up sends again.
            log.warning("twilio look-up refused", extra={"destination": notice.destination, "error": str(error)})
            return None
        ours = [item for item in made if (item.body or "").rstrip().endswith(mark) and item.status not in NEVER_SENT]
        return _receipt(str(ours[-1].sid), duplicates=len(ours) - 1) if ours else None

    def _callback(self, notice: Notice) -> Mapping[str, str]:
        callbacks, config = self._context.callbacks, self._config
        if callbacks is None or not config.can_be_called_back:
            return {}
        purpose = Purpose(TwilioHook.name, "status", bound(config.account_sid, config.to))
        return {"status_callback": link(callbacks, purpose, subject_for(notice), self._context.clock.now())}


def text_of(notice: Notice, most: int, *, replies: bool = False) -> str:
    """The text, in at most `most` segments: how grave, what and where, since when, what changed, the cause; then a link
    to the incident, and the code. What is cut is the end of the first part."""
    rendered = render(notice)
    since = min((alert.starts_at or alert.active_since for alert in notice.firing), default=None)
    cause = str(notice.alerts[0].evidence.get("cause") or "") if notice.alerts else ""
    is_test = notice.reason is NoticeReason.TEST
    parts = [
        _TAG.sub(r"\1 ", rendered.title, count=1),
        f"since {since:%H:%M} UTC" if since and not is_test else "",
        rendered.news,
        f"Cause: {cause}" if cause and cause not in rendered.title else "",
    ]
    head = one_line(segments.simplified(". ".join(part.rstrip(". ") for part in parts if part)))
    url = web_link(incident_url(notice.external_url, notice.incident_id))
    answer = "Reply 1 to ack" if replies and not is_test and not notice.is_resolved else ""
    mark = f"#{reference(notice.key)}"
    for tail in ((url, answer, mark), (answer, mark)):
        shown = " ".join(part for part in tail if part)
        if segments.segments(f"{head[:_HEAD_AT_LEAST]}... {shown}") <= most:
            return segments.fitted(head, shown, most)
    return segments.fitted(head, mark, most)


def _receipt(sid: str, duplicates: int = 0) -> Receipt:
    return Receipt(f"twilio:{sid}", {"sid": sid}, duplicates)
