"""What providers call back with, and what became of it: the values between a hook, the store and the answer.

A hook (`ports.Hook`) believes a callback only if it is signed, and reads it into one act. The server commits the act,
and only then is the caller told. What people press or write is thus never confirmed before it is durable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from watchtower.errors import WatchtowerError
from watchtower.model.alert import Incident, Notice


class Distrust(StrEnum):
    """Why a callback is refused. Closed: it is also a metric label."""

    UNSIGNED = "unsigned"
    SIGNATURE = "signature"
    ACCOUNT = "account"  # of somebody else at the same provider
    TOKEN = "token"  # noqa: S105 - the link is not one of ours, or was made for another number
    EXPIRED = "expired"
    UNREADABLE = "unreadable"
    STRANGER = "stranger"  # well signed, but from a number or account that belongs to nobody here


class HookRefused(WatchtowerError):
    """A callback that is not believed: answered 403 and counted, and nothing is done."""

    def __init__(self, reason: Distrust, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A callback as it came in. url: as its sender called it, query included; path: what follows the hook's name,
    without slashes at its ends; headers: names in lower case; body: raw, since signatures are over the raw bytes."""

    url: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookAnswer:
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


# -- acts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Somebody has it. Either notice_id (what they were told by; it counts only while that episode lasts) or
    incident_id. event: the provider's id of this very act, so that a repeat changes nothing. by: an actor, where the
    plan of the notice names no person; via: how, for the timeline, e.g. `by key 1`."""

    event: str
    by: str
    via: str
    notice_id: str = ""
    incident_id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """Somebody answered a text: "I have it". code: which notice (`reference`), "" if they did not say; destinations:
    those that reach the sender, so that nobody acknowledges what they were not told."""

    event: str
    by: str
    via: str
    destinations: tuple[str, ...]
    code: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a message or a call after its provider had taken it. status: the provider's word; sequence: its
    place among the reports of this id, None if unknown. text: for the timeline, "" if nobody needs to read it. failed:
    the person was not reached. hopeless: nor will they be until somebody mends the destination."""

    notice_id: str
    provider_id: str
    status: str
    at: datetime
    sequence: int | None = None
    text: str = ""
    failed: bool = False
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Recall:
    """Nothing is to be written; the answer repeats what notice_id said."""

    notice_id: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Understood, and nothing to be done."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Something was told that a collector reads. body: what is kept, in that collector's form."""

    collector: str
    body: bytes


HookAct = Acknowledge | Reply | Report | Recall | Keep | Nothing


# -- results ------------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What became of an act. Closed: it is also a metric label."""

    RECORDED = "recorded"
    REPEATED = "repeated"  # the same callback once more; it was recorded then
    ALREADY = "already"  # somebody has it already
    OVER = "over"  # what was told is over; what came later is not acknowledged by it
    UNKNOWN = "unknown"  # there is no such notice or code
    AMBIGUOUS = "ambiguous"  # it could mean more than one
    UNAVAILABLE = "unavailable"  # the store did not answer in time: nothing is promised


@dataclass(frozen=True, slots=True)
class HookResult:
    """incident: as it now is; notice: the one that was meant, with what it said; choices: (code, title) where it
    could mean more than one."""

    outcome: Outcome
    incident: Incident | None = None
    notice: Notice | None = None
    choices: tuple[tuple[str, str], ...] = ()


def reference(notice_key: str) -> str:
    """The short code by which people name a notice, and by which its text is found again at the provider: six
    hexadecimal digits."""
    return blake2b(notice_key.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
