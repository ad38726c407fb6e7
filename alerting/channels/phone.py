"""What text messages and calls have in common: numbers, the countries that may be reached, and the Twilio account.

Source: ITU-T E.164 (a plus, the country code, at most 15 digits); the numbering plan of North America, where islands
with prices of their own share the code +1. Numbers in countries that were not named are refused when the file is read
(promises SR-17): a wrong or a smuggled-in number must not run up a bill.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from alerting.channels.outward import reveal
from alerting.channels.settings import Address, Literally, Settings
from watchtower.config.types import Duration
from watchtower.ports import ChannelContext
from watchtower.secrets import Secret

TIMEOUT_S = 10.0
EXAMPLE = "+4915112345678"

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,6}")
_SENDER_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}")  # alphanumeric sender id
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SID = {"account_sid": "AC", "api_key": "SK", "messaging_service_sid": "MG"}

# Country codes of two digits (ITU-T E.164, list of assigned codes); +1 and +7 have one, all others three.
_TWO_DIGITS = re.compile("2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
# Area codes of +1 outside of the United States and Canada: other countries, with other prices.
_OVERSEAS = re.compile(
    r"\+1(?:242|246|26[48]|284|34[05]|441|473|649|658|664|67[01]|684|721|758|767|78[47]|8[024]9|86[89]|876|939)"
)


def _number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"a number without quotes loses its plus; write it as text: '{EXAMPLE}'")
    if isinstance(value, str) and not _E164.fullmatch(value):
        raise ValueError(f"{value!r} is no number in E.164 form; write plus, country code and number: '{EXAMPLE}'")
    return value


def _prefix(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"+{value}"
    if isinstance(value, str) and not _PREFIX.fullmatch(value):
        raise ValueError(f"{value!r} is no beginning of a number; write a country code: '+49'")
    return value


def _sender(value: object) -> object:
    if isinstance(value, str) and (_SENDER_NAME.fullmatch(value) or _SHORT_CODE.fullmatch(value)):
        return value
    return _number(value)


Number = Annotated[str, BeforeValidator(_number, json_schema_input_type=str)]
Prefix = Annotated[str, BeforeValidator(_prefix, json_schema_input_type=str)]
Sender = Annotated[str, BeforeValidator(_sender, json_schema_input_type=str)]


class PhoneConfig(Settings):
    """What `sms_configs` and `voice_configs` share. auth_token signs what Twilio calls back; with api_key and
    api_secret it is used for nothing else."""

    send_resolved: bool = False
    to: Number
    from_: Sender | None = Field(default=None, alias="from")
    account_sid: Literally
    auth_token: Secret | None = None
    api_key: Literally = ""
    api_secret: Secret | None = None
    signing_secrets: tuple[Secret, ...] = ()
    base_url: Address = "https://api.twilio.com"
    allow_countries: tuple[Prefix, ...] = ()
    timeout: Duration = TIMEOUT_S

    global_keys: ClassVar[Mapping[str, str]] = {
        "from": "twilio_from",
        "account_sid": "twilio_account_sid",
        "auth_token": "twilio_auth_token",
        "api_key": "twilio_api_key",
        "api_secret": "twilio_api_secret",
        "base_url": "twilio_base_url",
        "allow_countries": "twilio_allow_countries",
    }

    @model_validator(mode="after")
    def _a_login(self) -> "PhoneConfig":
        for key, begins in _SID.items():
            value = getattr(self, key, "")
            if value and not re.fullmatch(begins + "[0-9a-fA-F]{32}", value):
                raise ValueError(f"{key} {value!r} is not {begins} and 32 hexadecimal digits")
        if bool(self.api_key) != bool(self.api_secret):
            raise ValueError("api_key and api_secret go together; give both, or auth_token alone")
        if not self.api_key and not self.auth_token:
            raise ValueError("give auth_token, or api_key with api_secret")
        return self

    @model_validator(mode="after")
    def _an_allowed_country(self) -> "PhoneConfig":
        allowed = self.allow_countries or own_country(self.from_ or "")
        if not allowed:
            remedy = "allow_countries: ['+49'] says which countries may be reached"
            raise ValueError(f"from is no number that shows a country, so {remedy}")
        if not reaches(self.to, allowed):
            countries = ", ".join(allowed)
            raise ValueError(
                f"to {self.to!r} is in none of the countries that may be reached ({countries}); "
                "if it is meant, add its country code to allow_countries"
            )
        return self

    def login(self, context: ChannelContext) -> tuple[str, str]:
        """User and password for the API, read anew. Raises Transient(AUTH) while they cannot be read."""
        if self.api_key:
            return self.api_key, reveal(context, self.api_secret) or ""
        return self.account_sid, reveal(context, self.auth_token) or ""

    def signers(self, context: ChannelContext) -> list[str]:
        """The secrets by which a callback may be signed, read anew."""
        secrets = [*([self.auth_token] if self.auth_token else []), *self.signing_secrets]
        return [revealed for secret in secrets if (revealed := reveal(context, secret))]

    @property
    def can_be_called_back(self) -> bool:
        """Something is known by which a callback could be believed."""
        return bool(self.auth_token or self.signing_secrets)


class SmsConfig(PhoneConfig):
    """`sms_configs`. to, from: numbers like +4915112345678; instead of from, `messaging_service_sid` lets Twilio choose
    the sender. replies: the number's webhook for messages is `/hooks/twilio/sms`, so "1" acknowledges."""

    messaging_service_sid: Literally = ""
    max_segments: int = Field(default=2, ge=1, le=10)
    replies: bool = False

    alternatives: ClassVar[tuple[frozenset[str], ...]] = (frozenset({"from", "messaging_service_sid"}),)

    @model_validator(mode="after")
    def _one_sender(self) -> "SmsConfig":
        if bool(self.from_) == bool(self.messaging_service_sid):
            raise ValueError("give exactly one of from and messaging_service_sid")
        if self.replies and not self.can_be_called_back:
            raise ValueError("replies: needs auth_token, by which Twilio signs what it calls back")
        return self

    @property
    def needs_external_url(self) -> str:
        """Why `server.external_url` is needed; "" if it is not."""
        return "replies by text cannot reach Watchtower" if self.replies else ""


class VoiceConfig(PhoneConfig):
    """`voice_configs`. ring_timeout: how long it rings, in seconds; machine_detection: whether Twilio finds out if a
    machine answers, before anything is said (`DetectMessageEnd`: and waits for its beep). Either way a machine
    acknowledges nothing."""

    language: Literally = "en-US"
    voice: Literally = ""
    ring_timeout: Duration = 30.0
    machine_detection: Literal["off", "Enable", "DetectMessageEnd"] = "off"

    @field_validator("machine_detection", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare `off` as false

    @model_validator(mode="after")
    def _a_caller(self) -> "VoiceConfig":
        if not own_country(self.from_ or ""):
            raise ValueError(f"from: a call needs the number that it comes from: '{EXAMPLE}'")
        if not self.can_be_called_back:
            raise ValueError("auth_token: Twilio signs with it which key was pressed; give it beside api_key too")
        if not 5 <= (self.ring_timeout or 0) <= 600:
            raise ValueError("ring_timeout: Twilio takes 5s to 600s")
        if self.language and not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}", self.language):
            raise ValueError(f"language {self.language!r} is no language tag; write for example en-US or de-DE")
        return self

    @property
    def needs_external_url(self) -> str:
        """Why `server.external_url` is needed."""
        return "a key pressed in a call cannot reach Watchtower"


def own_country(number: str) -> tuple[str, ...]:
    """The country code of a number, in which a file that names no countries may call. () for what is no number."""
    if not _E164.fullmatch(number):
        return ()
    digits = number[1:]
    length = 1 if digits[0] in "17" else 2 if _TWO_DIGITS.match(digits) else 3
    if _OVERSEAS.match(number):
        length = 4
    return (f"+{digits[:length]}",)


def reaches(number: str, allowed: tuple[str, ...]) -> bool:
    """Whether number begins as one of allowed. `+1` alone means the United States and Canada: other countries that
    share it are named with their area code, e.g. `+1876`."""
    overseas = _OVERSEAS.match(number) is not None
    return any(number.startswith(prefix) and not (overseas and prefix == "+1") for prefix in allowed)


def masked(number: str) -> str:
    """A number as logs, timelines and audit entries may show it (SR-21): `+49*******678`."""
    shown = 3 if len(number) > 8 else 0
    begin = len(own_country(number)[0]) if own_country(number) else min(2, len(number))
    return number[:begin] + "*" * (len(number) - begin - shown) + number[len(number) - shown :]


def actor(number: str) -> str:
    """Who acts by telephone, where no person is known behind the number."""
    return f"phone:{masked(number)}"


def telephones(destinations: Mapping[str, Any]) -> dict[str, PhoneConfig]:
    """The telephones among destinations, by name."""
    return {name: config for name, config in destinations.items() if isinstance(config, PhoneConfig)}
