"""Calls through Twilio: the telephone rings, says what is wrong, and takes key 1 as an acknowledgement.

Sources: Twilio's pages of the Call resource, of TwiML's Gather, and of answering machine detection. That a call was
answered or completed acknowledges nothing: a voicemail does both. Twilio has no idempotency key, and a call in its list
shows nothing of ours: after an unknown outcome it is found by its callbacks, and else by elimination.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from alerting.callbacks import Purpose, link
from alerting.channels.phone import VoiceConfig
from alerting.channels.speech import Speaker, announcement
from alerting.channels.twilio_api import TwilioApi
from alerting.channels.twilio_hook import TwilioHook, bound, subject_for
from watchtower.errors import Permanent
from watchtower.model.alert import Notice, Receipt
from watchtower.ports import Callbacks, ChannelContext

log = logging.getLogger(__name__)

CLOCK_MARGIN = timedelta(minutes=1)  # our clock against Twilio's; narrow, since nothing in its list names our calls
NEVER_RANG = frozenset({"failed", "canceled", "busy"})
EVENTS = ("initiated", "ringing", "answered", "completed")


class Voice:
    name: ClassVar[str] = "voice"
    Config: ClassVar[type[VoiceConfig]] = VoiceConfig
    Hook: ClassVar[type[TwilioHook]] = TwilioHook
    settle_s: ClassVar[float] = 10.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = True

    def __init__(self, config: VoiceConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context

    def deliver(self, notice: Notice) -> Receipt:
        config, callbacks = self._config, self._context.callbacks
        action = self._link(callbacks, "voice", notice) if callbacks else ""
        speaker = Speaker(config.language, config.voice)
        detect = {} if config.machine_detection == "off" else {"machine_detection": config.machine_detection}
        made = TwilioApi(self._context, config).call(
            to=config.to,
            from_=config.from_,
            twiml=announcement(notice, action, speaker),
            timeout=round(config.ring_timeout or 0),
            **detect,
            **(self._status(callbacks, notice) if callbacks else {}),
        )
        return _receipt(str(made.sid))

    def look_up(self, notice: Notice) -> Receipt | None:
        """What Twilio itself has tied to the notice by a callback is certain. Else it is the oldest call to this number
        since the attempt that is not known to be another notice's: whoever made it, this telephone rang."""
        named = self._context.proofs.named(notice.id)
        if named:
            return _receipt(named[0])
        config, since = self._config, notice.first_attempt_at - CLOCK_MARGIN
        try:
            made = TwilioApi(self._context, config).calls(config.to, config.from_ or "", since)
        except Permanent as error:
            # A page matters more than a repeat: who cannot look up sends again.
            log.warning("twilio look-up refused", extra={"destination": notice.destination, "error": str(error)})
            return None
        rang = [str(call.sid) for call in reversed(made) if call.status not in NEVER_RANG]
        foreign = self._context.proofs.foreign(rang, notice.id) | {str(notice.ref.get("sid", ""))}
        return next((_receipt(sid) for sid in rang if sid not in foreign), None)

    def _status(self, callbacks: Callbacks, notice: Notice) -> Mapping[str, Any]:
        return {
            "status_callback": self._link(callbacks, "status", notice),
            "status_callback_event": list(EVENTS),
            "status_callback_method": "POST",
        }

    def _link(self, callbacks: Callbacks, action: str, notice: Notice) -> str:
        purpose = Purpose(TwilioHook.name, action, bound(self._config.account_sid, self._config.to))
        return link(callbacks, purpose, subject_for(notice), self._context.clock.now())


def _receipt(sid: str) -> Receipt:
    return Receipt(f"twilio:{sid}", {"sid": sid})
